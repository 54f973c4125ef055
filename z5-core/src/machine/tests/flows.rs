//! Several connections with a binding each (RFC 5626): one is lost, the session stands.

use super::*;

const TWO: &str = "sip:lb.test:5060;transport=tcp\",\"sip:lb.test:5070;transport=tcp";

impl World {
    /// Registered over two connections, to two servers.
    fn two_flows() -> Self {
        let mut world = Self::with(&format!("{CONFIG}[sip]\nflows = 2\n"), false);
        world.proxies = TWO;
        let world = world.start();
        assert_eq!(world.machine.view().state, SessionState::Ready);
        world
    }

    fn cut(&mut self, flow: u64) {
        self.input(Input::Closed { flow: FlowId(flow), why: FlowEnd::Reset });
        self.settle();
    }

    fn connects(&self) -> usize {
        self.trail.iter().filter(|line| *line == "connect").count()
    }

    /// What states were told since the session was ready.
    fn states(&self) -> Vec<SessionState> {
        let since = self.events.iter().skip_while(|event| !matches!(event, EventKind::Ready { .. }));
        let state =
            |event: &EventKind| if let EventKind::State { state } = event { Some(*state) } else { None };
        since.filter_map(state).collect()
    }

    /// Lets this much time pass.
    fn sleep(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.machine.next_deadline().filter(|deadline| deadline.at <= until) {
            self.now = self.now.max(deadline.at);
            self.input(Input::Deadline);
            self.settle();
        }
        self.now = self.now.max(until);
    }
}

#[test]
fn a_second_connection_leads_to_another_server_and_has_its_own_binding() {
    let world = World::two_flows();
    let Some((FlowId(2), targets)) = &world.connecting else { panic!("{:?}", world.connecting) };
    assert_eq!(targets.iter().map(|target| target.address.port()).collect::<Vec<_>>(), [5070]);
    let registers: Vec<&String> =
        world.sent.iter().filter(|message| message.starts_with("REGISTER ")).collect();
    assert!(registers[0].contains(";reg-id=1") && registers[1].contains(";reg-id=2"), "{registers:#?}");
    assert_eq!(registers.len(), 2, "the first is not asked again");
    let told = world.events.iter().any(|event| {
        matches!(event, EventKind::FlowRegistered { reg_id: 2, transport: "tcp", server, .. } if server.port() == 5070)
    });
    assert!(told, "{:?}", world.names());
}

#[test]
fn each_proxy_that_the_sign_in_names_holds_a_registration() {
    let ways = |flows: &str, proxies: &'static str| {
        let mut world = World::with(&format!("{CONFIG}[sip]\n{flows}\n"), false);
        world.proxies = proxies;
        let world = world.start();
        let told = world.names().iter().filter(|name| **name == "flow-registered").count();
        (world.connects(), told)
    };
    assert_eq!(ways("", TWO), (2, 1));
    assert_eq!(ways("", "sip:lb.test:5060;transport=tcp"), (1, 0));
    assert_eq!(ways("flows = 1", TWO), (1, 0), "unless one is all that is wanted");
}

#[test]
fn with_one_server_there_is_one_connection() {
    let world = World::with(&format!("{CONFIG}[sip]\nflows = 3\n"), false).start();
    assert_eq!((world.machine.view().state, world.connects()), (SessionState::Ready, 1));
}

#[test]
fn the_loss_of_the_first_connection_costs_nothing_while_another_stands() {
    let mut world = World::two_flows();
    world.cut(1);
    assert_eq!(world.states(), [], "ready all the time");
    assert!(world.events.iter().any(|event| matches!(event, EventKind::FlowLost { reg_id: 1, .. })));
    assert_eq!(world.call(7, "echo"), "going", "calls can be made meanwhile");
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.connects(), 3, "and the first comes back");
    assert!(world.events.iter().any(|event| matches!(event, EventKind::FlowRegistered { reg_id: 1, .. })));
    assert!(
        world.sent.iter().rev().any(|message| message.contains(";reg-id=1") && message.contains(":40002"))
    );
    assert_eq!(world.states(), []);
}

#[test]
fn a_spare_connection_comes_back_and_only_the_last_loss_is_told_as_one() {
    let mut world = World::two_flows();
    world.silent = "connect";
    world.cut(2);
    assert_eq!(world.names().iter().filter(|name| **name == "flow-lost").count(), 1);
    assert_eq!(world.states(), []);
    world.cut(1);
    assert_eq!(world.states(), [SessionState::Registering], "nothing is left");
    world.silent = "";
    let (flow, targets) = world.connecting.clone().unwrap();
    world.input(Input::ConnectFailed { flow, attempts: Vec::new() });
    world.settle();
    world.sleep(Duration::from_secs(60));
    assert_eq!(world.states().last(), Some(&SessionState::Ready), "{targets:?}");
    assert_eq!(world.names().iter().filter(|name| **name == "flow-registered").count(), 2);
}

#[test]
fn a_server_that_refuses_the_second_binding_is_left_alone() {
    let mut world = World::two_flows();
    world.cut(2);
    world.registrar = (403, Vec::new());
    world.sleep(Duration::from_millis(300));
    world.registrar = (200, Vec::new());
    assert_eq!(world.connects(), 3);
    world.sleep(Duration::from_secs(300));
    assert_eq!(world.connects(), 3, "no loop of registrations");
    assert_eq!(world.states(), []);
}

#[test]
fn leaving_takes_every_binding_back() {
    let mut world = World::two_flows();
    world.input(Input::Command(Command::Stop));
    world.settle();
    let gone = world.sent.iter().filter(|message| message.contains("\r\nExpires: 0\r\n")).count();
    assert_eq!(gone, 2);
    assert!(world.events.contains(&EventKind::Unregistered { confirmed: true }));
    assert!(world.closed.contains(&FlowId(1)) && world.closed.contains(&FlowId(2)), "{:?}", world.closed);
}
