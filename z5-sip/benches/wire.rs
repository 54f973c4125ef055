//! How long a 698-byte INVITE takes from bytes to typed headers, with rsip beside it as the yardstick.
//!
//! `cargo bench -p z5-sip --bench wire`

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot parse its message has nothing to measure")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use rsip::prelude::*;
use z5_sip::wire::{
    Edit, Framer, Indexed, Limits, Message, MessageRef, RequestBuilder, ResponseBuilder, validate,
};

const INVITE: &[u8] = include_bytes!("invite.sip");

fn six(message: MessageRef<'_>) {
    black_box(message.via().unwrap());
    black_box(message.from().unwrap());
    black_box(message.to().unwrap());
    black_box(message.cseq().unwrap());
    black_box(message.contact().unwrap());
    black_box(message.call_id().unwrap());
}

fn parsing(c: &mut Criterion) {
    let limits = Limits::default();
    let mut group = c.benchmark_group("parse");
    group.bench_function("z5 index", |b| {
        b.iter(|| black_box(Indexed::parse_datagram(black_box(INVITE), &limits).unwrap()));
    });
    group.bench_function("z5 index and six typed headers", |b| {
        b.iter(|| six(Indexed::parse_datagram(black_box(INVITE), &limits).unwrap().message()));
    });
    group.bench_function("z5 owned message", |b| {
        let bytes = Bytes::from_static(INVITE);
        b.iter(|| black_box(Message::parse_datagram(black_box(bytes.clone())).unwrap()));
    });
    group.bench_function("z5 framed from a stream", |b| {
        b.iter(|| {
            let mut framer = Framer::new(limits);
            framer.push(black_box(INVITE));
            black_box(framer.next().unwrap().unwrap())
        });
    });
    group.bench_function("rsip strings", |b| {
        b.iter(|| black_box(rsip::Request::try_from(black_box(INVITE)).unwrap()));
    });
    group.bench_function("rsip and six typed headers", |b| {
        b.iter(|| {
            let request = rsip::Request::try_from(black_box(INVITE)).unwrap();
            black_box(request.via_header().unwrap().typed().unwrap());
            black_box(request.from_header().unwrap().typed().unwrap());
            black_box(request.to_header().unwrap().typed().unwrap());
            black_box(request.cseq_header().unwrap().typed().unwrap());
            black_box(request.contact_header().unwrap().typed().unwrap());
            black_box(request.call_id_header().unwrap().value());
        });
    });
    group.finish();
}

fn writing(c: &mut Criterion) {
    let message = Message::parse_datagram(Bytes::from_static(INVITE)).unwrap();
    let mut group = c.benchmark_group("write");
    group.bench_function("validate", |b| b.iter(|| black_box(validate(black_box(&message)))));
    group.bench_function("answer", |b| {
        b.iter(|| ResponseBuilder::to_request(black_box(&message), 180, "").to_tag("t").build().unwrap());
    });
    group.bench_function("cancel", |b| {
        b.iter(|| RequestBuilder::cancel(black_box(&message)).unwrap().build().unwrap());
    });
    group.bench_function("proxy edit", |b| {
        b.iter(|| Edit::new(black_box(&message)).push_via("SIP/2.0/TCP p;branch=z9hG4bK2").build().unwrap());
    });
    group.finish();
}

criterion_group!(benches, parsing, writing);
criterion_main!(benches);
