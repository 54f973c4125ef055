//! The name server, asked by hickory's resolver.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use z5_mock::{Carrier, Fault, Service, When};

fn resolver(carrier: &Carrier) -> TokioResolver {
    resolver_over(carrier, vec![ConnectionConfig::udp(), ConnectionConfig::tcp()])
}

fn resolver_over(carrier: &Carrier, mut protocols: Vec<ConnectionConfig>) -> TokioResolver {
    for protocol in &mut protocols {
        protocol.port = carrier.dns_addr().port();
    }
    let server = NameServerConfig::new(carrier.dns_addr().ip(), true, protocols);
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_secs(1);
    options.attempts = 1;
    options.cache_size = 0;
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .unwrap()
}

async fn code(resolver: &TokioResolver, name: &str) -> Result<Vec<IpAddr>, Option<ResponseCode>> {
    match resolver.ipv4_lookup(format!("{name}.")).await {
        Ok(found) => Ok(found.answers().iter().filter_map(|record| record.data.ip_addr()).collect()),
        Err(hickory_resolver::net::NetError::Dns(hickory_resolver::net::DnsError::NoRecordsFound(none))) => {
            Err(Some(none.response_code))
        }
        Err(hickory_resolver::net::NetError::Dns(hickory_resolver::net::DnsError::ResponseCode(code))) => {
            Err(Some(code))
        }
        Err(_) => Err(None),
    }
}

#[tokio::test]
async fn the_five_names_resolve_and_no_other() {
    let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let carrier = Carrier::builder().host("both.test", &[[127, 0, 0, 1].into(), v6]).start().await.unwrap();
    let resolver = resolver(&carrier);
    for name in carrier.names().all() {
        assert_eq!(code(&resolver, name).await, Ok(vec![IpAddr::from([127, 0, 0, 1])]), "{name}");
        assert!(resolver.ipv6_lookup(format!("{name}.")).await.is_err(), "no AAAA unless configured");
    }
    assert_eq!(code(&resolver, "MCS.csdvrs.TEST").await, Ok(vec![IpAddr::from([127, 0, 0, 1])]));
    assert_eq!(resolver.ipv6_lookup("both.test.").await.unwrap().answers().len(), 1);
    assert_eq!(code(&resolver, "elsewhere.test").await, Err(Some(ResponseCode::NXDomain)));
    assert!(carrier.recorder().to_text().contains("elsewhere.test. A"));
    carrier.shutdown().await;
}

#[tokio::test]
async fn a_truncated_answer_leads_to_tcp() {
    let carrier = Carrier::builder().fault(Fault::Truncated).start().await.unwrap();
    let name = carrier.names().mcs.clone();
    assert_eq!(code(&resolver(&carrier), &name).await, Ok(vec![IpAddr::from([127, 0, 0, 1])]));
    assert!(carrier.recorder().to_text().to_lowercase().contains("(tcp)"));
    carrier.shutdown().await;
}

#[tokio::test]
async fn tcp_works_where_udp_is_blocked() {
    let carrier = Carrier::builder().fault(Fault::UdpBlocked).start().await.unwrap();
    let name = carrier.names().mcs.clone();
    assert_eq!(code(&resolver_over(&carrier, vec![ConnectionConfig::udp()]), &name).await, Err(None));
    let over_tcp = resolver_over(&carrier, vec![ConnectionConfig::tcp()]);
    assert_eq!(code(&over_tcp, &name).await, Ok(vec![IpAddr::from([127, 0, 0, 1])]));
    carrier.shutdown().await;
}

#[tokio::test]
async fn name_faults_have_their_answers() {
    let cases = [
        (Fault::NameNotFound, Err(Some(ResponseCode::NXDomain))),
        (Fault::NoAddress, Err(Some(ResponseCode::NoError))),
        (Fault::NameServerFailed, Err(Some(ResponseCode::ServFail))),
        (Fault::NameServerRefused, Err(Some(ResponseCode::Refused))),
        (Fault::BlackHole(Service::Dns), Err(None)),
        (Fault::Refuse(Service::Dns), Err(None)),
    ];
    for (fault, expected) in cases {
        let carrier = Carrier::builder().fault(fault).start().await.unwrap();
        assert_eq!(code(&resolver(&carrier), "mcs.csdvrs.test").await, expected, "{fault}");
        carrier.shutdown().await;
    }
}

#[tokio::test]
async fn a_fault_ends_after_its_occasions() {
    let carrier = Carrier::builder().fault_when(Fault::NameNotFound, When::first(1)).start().await.unwrap();
    let resolver = resolver(&carrier);
    assert_eq!(code(&resolver, "mcs.csdvrs.test").await, Err(Some(ResponseCode::NXDomain)));
    assert!(code(&resolver, "mcs.csdvrs.test").await.is_ok());
    carrier.shutdown().await;
}

#[tokio::test]
async fn the_domain_leads_to_the_mcs_by_naptr_and_srv() {
    let carrier = Carrier::builder().start().await.unwrap();
    let resolver = resolver(&carrier);
    let naptr = resolver.lookup("csdvrs.test.", RecordType::NAPTR).await.unwrap();
    assert_eq!(naptr.answers().len(), 3, "TLS, TCP, UDP");
    let records = naptr.answers().iter();
    let mut records =
        records.filter_map(|record| if let RData::NAPTR(naptr) = &record.data { Some(naptr) } else { None });
    let naptr = records.find(|naptr| &*naptr.services == b"SIP+D2T").expect("a NAPTR record for TCP");
    assert_eq!(&*naptr.flags, b"s");
    let srv = resolver.srv_lookup(naptr.replacement.to_string()).await.unwrap();
    let mut targets: Vec<_> = srv
        .answers()
        .iter()
        .map(|record| {
            let RData::SRV(srv) = &record.data else { panic!("no SRV") };
            assert_eq!(srv.port, carrier.sip_addr().port());
            (srv.priority, srv.target.to_string())
        })
        .collect();
    targets.sort();
    let names: Vec<_> = targets.iter().map(|(_, name)| name.trim_end_matches('.')).collect();
    assert_eq!(names, carrier.names().mcs_targets());
    carrier.shutdown().await;
}
