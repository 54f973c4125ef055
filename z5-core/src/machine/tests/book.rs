//! The address book and a CardDAV server of a few lines that can be told to be strange: what is asked, what is sent on which condition, and
//! that whatever goes wrong in between both sides have the same in the end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use super::*;
use crate::account::vcard::{Card, MAX_INLINE_BYTES};
use crate::session::Goal;
use io::{BookChange, HeaderText, HttpsFailure};

/// A collection: what each file was at which revision; None for a removed one.
#[derive(Default)]
struct Dav {
    revision: u64,
    files: BTreeMap<String, (u64, Option<String>)>,
    /// Tokens that are still known.
    tokens: std::collections::BTreeSet<u64>,
    /// No token is ever known.
    forgetful: bool,
    page: Option<usize>,
    /// Neither synchronisation nor what is in a card with its tag.
    plain: bool,
    /// Cards only by name.
    bare: bool,
    etagless: bool,
    /// Answered in place of the next request that this returns something for.
    instead: Option<Instead>,
    log: Vec<String>,
}

type Answered = Result<HttpsReply, HttpsFailure>;
type Instead = Box<dyn FnMut(&HttpsRequest) -> Option<Answered>>;

fn reply(status: u16, body: &str) -> Answered {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Ok(HttpsReply { status, challenges: Vec::new(), retry_after_s: None, etag: None, location: None, body })
}

fn condition(status: u16, name: &str) -> Answered {
    reply(status, &format!("<d:error xmlns:d=\"DAV:\"><d:{name}/></d:error>"))
}

impl Dav {
    fn put(&mut self, file: &str, text: &str) {
        self.revision += 1;
        self.files.insert(format!("/carddav/a/{file}"), (self.revision, Some(text.to_owned())));
    }

    fn remove(&mut self, file: &str) {
        self.revision += 1;
        self.files.insert(format!("/carddav/a/{file}"), (self.revision, None));
    }

    fn cards(&self) -> BTreeMap<String, String> {
        let there = self.files.values().filter_map(|(_, text)| text.as_deref());
        let cards = there.filter_map(|text| Card::parse(text).ok());
        cards.map(|card| (card.uid().unwrap_or_default(), card.name())).collect()
    }

    fn serve(&mut self, request: &HttpsRequest) -> Option<Answered> {
        if !request.target.starts_with("/carddav/") {
            return None;
        }
        let header = |name: &str| {
            let found = request.headers.iter().find(|(known, _)| *known == name)?;
            if let HeaderText::Plain(text) = &found.1 {
                Some(text.clone())
            } else {
                Some("secret".to_owned())
            }
        };
        if header("authorization").is_none() {
            let challenges = vec![r#"Digest realm="z", nonce="n", qop="auth", algorithm=SHA-256"#.to_owned()];
            let body = Bytes::new();
            return Some(Ok(HttpsReply {
                status: 401,
                challenges,
                retry_after_s: None,
                etag: None,
                location: None,
                body,
            }));
        }
        let (matching, none) = (header("if-match"), header("if-none-match"));
        let conditions = [("=", &matching), ("!", &none)];
        let conditions: String = conditions
            .iter()
            .filter_map(|(sign, value)| Some(format!(" {sign}{}", value.as_deref()?)))
            .collect();
        let file = request.target.rsplit('/').next().unwrap().to_owned();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let what = match request.method {
            "REPORT" if body.contains("multiget") => "multiget".to_owned(),
            "REPORT" => format!("sync {}", between(&body, "<D:sync-token>", "</").unwrap_or_default()),
            _ => file,
        };
        self.log.push(format!("{} {what}{conditions}", request.method));
        if let Some(answer) = self.instead.as_mut().and_then(|instead| instead(request)) {
            return Some(answer);
        }
        Some(match request.method {
            "REPORT" if body.contains("multiget") => {
                let hrefs =
                    body.split("<D:href>").skip(1).map(|part| part.split("</").next().unwrap().to_owned());
                let items: String = hrefs.map(|href| self.item(&href, true)).collect();
                multistatus(&items, "")
            }
            "REPORT" if self.plain => condition(403, "supported-report"),
            "REPORT" => self.sync(&body),
            "PROPFIND" => {
                let there = self.files.iter().filter(|(_, (_, text))| text.is_some());
                let items: String = there.map(|(file, _)| self.item(file, false)).collect();
                multistatus(&format!("{COLLECTION}{items}"), "")
            }
            "GET" => match self.files.get(&request.target) {
                Some((revision, Some(text))) => tagged(200, text, *revision),
                Some(_) | None => reply(404, ""),
            },
            "PUT" | "DELETE" => self.change(request, matching.as_deref(), none.is_some()),
            other => panic!("{other}"),
        })
    }

    fn sync(&mut self, body: &str) -> Answered {
        let token = between(body, "<D:sync-token>", "</").unwrap_or_default();
        let since = if token.is_empty() { 0 } else { token.parse().unwrap() };
        if since > 0 && (self.forgetful || !self.tokens.contains(&since)) {
            return condition(403, "valid-sync-token");
        }
        let mut changed: Vec<(u64, String)> = self
            .files
            .iter()
            .filter(|(_, (revision, text))| *revision > since && (since > 0 || text.is_some()))
            .map(|(file, (revision, _))| (*revision, file.clone()))
            .collect();
        changed.sort();
        let cut = self.page.filter(|page| changed.len() > *page);
        changed.truncate(cut.unwrap_or(changed.len()));
        let token = cut.map_or(self.revision, |_| changed.last().unwrap().0);
        self.tokens.insert(token);
        let mut items: String = changed.iter().map(|(_, file)| self.item(file, !self.bare)).collect();
        if cut.is_some() {
            items.push_str(
                "<d:response><d:href>/carddav/a/</d:href><d:status>HTTP/1.1 507 x</d:status></d:response>",
            );
        }
        multistatus(&items, &format!("<d:sync-token>{token}</d:sync-token>"))
    }

    fn item(&self, file: &str, whole: bool) -> String {
        let Some((revision, Some(text))) = self.files.get(file) else {
            return format!(
                "<d:response><d:href>{file}</d:href><d:status>HTTP/1.1 404 x</d:status></d:response>"
            );
        };
        let mut properties = format!("<d:getetag>\"{revision}\"</d:getetag>");
        if whole {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            write!(properties, "<c:address-data>{text}</c:address-data>").unwrap();
        }
        format!(
            "<d:response><d:href>{file}</d:href><d:propstat><d:prop>{properties}</d:prop><d:status>HTTP/1.1 200 OK\
             </d:status></d:propstat></d:response>"
        )
    }

    fn change(&mut self, request: &HttpsRequest, matching: Option<&str>, none: bool) -> Answered {
        let known = self.files.get(&request.target).filter(|(_, text)| text.is_some());
        let tag = known.map(|(revision, _)| format!("\"{revision}\""));
        let matches =
            matching.is_none_or(|wanted| tag.as_deref().is_some_and(|tag| wanted == "*" || wanted == tag));
        if !matches || (none && tag.is_some()) {
            return reply(412, "");
        }
        if request.method == "DELETE" && tag.is_none() {
            return reply(404, "");
        }
        self.revision += 1;
        let text = (request.method == "PUT").then(|| String::from_utf8(request.body.to_vec()).unwrap());
        self.files.insert(request.target.clone(), (self.revision, text));
        match self.etagless || request.method == "DELETE" {
            true => reply(204, ""),
            false => tagged(201, "", self.revision),
        }
    }
}

const COLLECTION: &str = "<d:response><d:href>/carddav/a/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype>\
    </d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>";

fn multistatus(items: &str, rest: &str) -> Answered {
    reply(
        207,
        &format!(
            "<d:multistatus xmlns:d=\"DAV:\" xmlns:c=\"urn:ietf:params:xml:ns:carddav\">{items}{rest}</d:multistatus>"
        ),
    )
}

fn tagged(status: u16, body: &str, revision: u64) -> Answered {
    reply(status, body).map(|reply| HttpsReply { etag: Some(format!("\"{revision}\"")), ..reply })
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|(inner, _)| inner)
}

fn card(uid: &str, name: &str, more: &str) -> String {
    format!("BEGIN:VCARD\r\nVERSION:4.0\r\nUID:{uid}\r\nFN:{name}\r\n{more}END:VCARD\r\n")
}

type Shared = Rc<RefCell<Dav>>;

/// A server with two cards, and a session that is ready.
fn begin(prepare: impl FnOnce(&mut Dav)) -> (World, Shared) {
    let mut dav = Dav::default();
    dav.put("b.vcf", &card("b", "Bob", "TEL:1\r\n"));
    dav.put("c.vcf", &card("c", "Carol", ""));
    prepare(&mut dav);
    let dav = Rc::new(RefCell::new(dav));
    let mut world = World::supervised();
    attach(&mut world, &dav);
    let world = world.start();
    assert_eq!(world.machine.view().state, SessionState::Ready, "{:?}", world.events);
    (world, dav)
}

fn attach(world: &mut World, dav: &Shared) {
    let server = Rc::clone(dav);
    world.hook = Some(Box::new(move |request| server.borrow_mut().serve(request)));
}

impl World {
    fn names_in_book(&self) -> Vec<String> {
        self.machine.view().book.contacts().into_iter().map(|contact| contact.name).collect()
    }

    fn contact_change(&mut self, change: BookChange) {
        self.command(Command::Contacts { change });
    }

    fn rename(&mut self, id: &str, name: &str) {
        let mut card = self.machine.view().book.card(id).unwrap();
        card.set(crate::account::vcard::Line::new("FN", &[], name));
        self.contact_change(BookChange::Change { id: id.to_owned(), card });
    }

    fn sync(&mut self) -> Option<crate::SyncReport> {
        let from = self.events.len();
        self.command(Command::SyncContacts);
        self.last_report(from)
    }

    fn last_report(&self, from: usize) -> Option<crate::SyncReport> {
        let mut reports = self.events[from..].iter().filter_map(|event| {
            if let EventKind::ContactsSynced { report } = event { Some(report.clone()) } else { None }
        });
        reports.next_back()
    }

    fn unsent(&self) -> usize {
        self.machine.view().book.unsent()
    }
}

fn since(dav: &Shared, from: usize) -> Vec<String> {
    dav.borrow().log[from..].to_vec()
}

#[test]
fn everything_comes_first_and_only_news_later() {
    let (mut world, dav) = begin(|_| {});
    assert_eq!(world.names_in_book(), ["Bob", "Carol"]);
    let from = dav.borrow().log.len();
    {
        let mut dav = dav.borrow_mut();
        dav.put("d.vcf", &card("d", "Dave", ""));
        dav.put("b.vcf", &card("b", "Robert", ""));
        dav.remove("c.vcf");
    }
    let report = world.sync().unwrap();
    assert_eq!((report.added, report.changed, report.removed, report.full), (1, 1, 1, false));
    assert_eq!(world.names_in_book(), ["Dave", "Robert"]);
    assert_eq!(since(&dav, from), ["REPORT sync 2"]);
    let report = world.sync().unwrap();
    assert_eq!((report.contacts, report.added, report.changed), (2, 0, 0));
    // And once in a while without being asked.
    let from = dav.borrow().log.len();
    dav.borrow_mut().put("e.vcf", &card("e", "Eve", ""));
    world.pass(Duration::from_secs(16 * 60));
    assert!(since(&dav, from).contains(&"REPORT sync 5".to_owned()), "{:?}", since(&dav, from));
    assert!(world.names_in_book().contains(&"Eve".to_owned()));
}

#[test]
fn a_token_that_is_too_old_leads_to_everything_and_what_is_gone_goes() {
    let (mut world, dav) = begin(|_| {});
    {
        let mut dav = dav.borrow_mut();
        dav.files.remove("/carddav/a/c.vcf");
        dav.tokens.clear();
    }
    let report = world.sync().unwrap();
    assert!(report.full && report.removed == 1, "{report:?}");
    assert_eq!(world.names_in_book(), ["Bob"]);
    assert!(dav.borrow().log.ends_with(&["REPORT sync 2".to_owned(), "REPORT sync ".to_owned()]));
}

#[test]
fn a_server_that_forgets_every_token_is_asked_for_everything_each_time_but_not_for_ever() {
    let (mut world, dav) = begin(|dav| dav.forgetful = true);
    dav.borrow_mut().put("d.vcf", &card("d", "Dave", ""));
    assert!(world.sync().unwrap().full);
    assert_eq!(world.names_in_book().len(), 3);
    // Even the token that it gave a moment ago.
    dav.borrow_mut().page = Some(1);
    let from = dav.borrow().log.len();
    world.sync();
    let told = world.events.iter().rev().find_map(|event| {
        if let EventKind::StepFailed { error, .. } = event { Some(error.code()) } else { None }
    });
    assert_eq!(told, Some("provision.refused"));
    assert_eq!(since(&dav, from), ["REPORT sync 3", "REPORT sync ", "REPORT sync 1"]);
    assert_eq!(world.names_in_book().len(), 3, "what was here stays");
}

#[test]
fn a_large_book_comes_in_pages_and_the_token_counts_when_all_are_here() {
    let (world, dav) = begin(|dav| {
        dav.page = Some(3);
        (0..8).for_each(|n| dav.put(&format!("n{n}.vcf"), &card(&format!("n{n}"), &format!("N{n}"), "")));
    });
    assert_eq!(world.names_in_book().len(), 10);
    let reports: Vec<_> =
        dav.borrow().log.iter().filter(|line| line.starts_with("REPORT")).cloned().collect();
    assert_eq!(reports, ["REPORT sync ", "REPORT sync 3", "REPORT sync 6", "REPORT sync 9"]);
    let told = world.events.iter().filter(|event| event.name() == "contacts-progress").count();
    assert_eq!(told, 3);
}

#[test]
fn pages_that_lead_nowhere_end_in_an_error_and_not_in_a_circle() {
    let mut world = World::new();
    world.hook = Some(Box::new(|request| {
        let authorized = request.headers.iter().any(|(name, _)| *name == "authorization");
        (request.method == "REPORT" && authorized).then(|| {
            let more =
                "<d:response><d:href>/carddav/a/</d:href><d:status>HTTP/1.1 507 x</d:status></d:response>";
            multistatus(more, "<d:sync-token>t</d:sync-token>")
        })
    }));
    let world = world.start();
    assert_eq!(world.failure().0, "provision.bad-reply");
}

#[test]
fn servers_that_give_only_tags_or_know_no_synchronisation_will_do() {
    let (mut world, dav) = begin(|dav| dav.bare = true);
    assert_eq!(world.names_in_book(), ["Bob", "Carol"]);
    dav.borrow_mut().put("b.vcf", &card("b", "Robert", ""));
    world.sync();
    assert_eq!(world.names_in_book(), ["Carol", "Robert"]);
    assert_eq!(dav.borrow().log.iter().filter(|line| line.contains("multiget")).count(), 2);

    let (mut world, dav) = begin(|dav| dav.plain = true);
    assert_eq!(world.names_in_book(), ["Bob", "Carol"]);
    {
        let mut dav = dav.borrow_mut();
        dav.put("b.vcf", &card("b", "Robert", ""));
        dav.remove("c.vcf");
    }
    let from = dav.borrow().log.len();
    world.rename("b", "Bobby");
    assert_eq!(world.names_in_book(), ["Bobby"]);
    let seen = since(&dav, from);
    assert!(seen[..3] == ["REPORT sync ", "PROPFIND ", "REPORT multiget"], "{seen:?}");
    assert_eq!(dav.borrow().cards(), BTreeMap::from([("b".into(), "Bobby".into())]));
}

#[test]
fn changes_are_sent_on_the_condition_that_nobody_was_there_first() {
    let (mut world, dav) = begin(|_| {});
    let from = dav.borrow().log.len();
    world.contact_change(BookChange::Add(Card::new("e", "Eve", &["911".to_owned()])));
    world.rename("b", "Robert");
    world.contact_change(BookChange::Remove { id: "c".to_owned() });
    world.contact_change(BookChange::Remove { id: "nobody".to_owned() });
    world.settle();
    assert_eq!(world.unsent(), 0);
    let changes: Vec<_> = since(&dav, from).into_iter().filter(|line| !line.starts_with("REPORT")).collect();
    let file = changes[0].split(['/', ' ']).nth(1).unwrap().to_owned();
    assert_eq!(
        changes,
        [format!("PUT {file} !*"), "PUT b.vcf =\"1\"".to_owned(), "DELETE c.vcf =\"2\"".to_owned()]
    );
    assert!(file.len() == 40 && file.ends_with(".vcf"), "{file}");
    let told: Vec<_> = world.names().into_iter().filter(|name| name.starts_with("contact")).collect();
    assert_eq!(told.iter().filter(|name| **name == "contact-not-changed").count(), 1, "{told:?}");
    let wanted = BTreeMap::from([("b".into(), "Robert".into()), ("e".into(), "Eve".into())]);
    assert_eq!(dav.borrow().cards(), wanted);
    assert_eq!(world.sync().unwrap().changed, 0, "our own changes are no news");
}

#[test]
fn what_was_changed_on_both_sides_is_merged_told_and_sent_on_top() {
    let (mut world, dav) = begin(|_| {});
    // Somebody is faster between the news and our change.
    let server = Rc::clone(&dav);
    let mut once = true;
    let hook = Box::new(move |request: &HttpsRequest| {
        let mut server = server.borrow_mut();
        if request.method == "PUT" && std::mem::take(&mut once) {
            server.put("b.vcf", &card("b", "Bobby", "TEL:1\r\nTEL:2\r\n"));
        }
        server.serve(request)
    });
    world.hook = Some(hook);
    let from = dav.borrow().log.len();
    world.rename("b", "Robert");
    let seen = since(&dav, from);
    assert_eq!(seen, ["REPORT sync 2", "PUT b.vcf =\"1\"", "REPORT sync 2", "PUT b.vcf =\"3\""], "{seen:?}");
    let text = dav.borrow().files["/carddav/a/b.vcf"].1.clone().unwrap();
    assert!(
        ["FN:Robert", "TEL:2", "X-Z5-CONFLICT:FN:Bobby"].iter().all(|part| text.contains(part)),
        "{text}"
    );
    let merged = world.events.iter().find_map(|event| {
        if let EventKind::ContactMerged(merged) = event { Some(merged.clone()) } else { None }
    });
    assert_eq!(merged.unwrap().conflicts, ["FN"]);
    assert_eq!(world.unsent(), 0);
}

#[test]
fn a_change_that_the_server_does_not_take_stays_here_and_is_told_once() {
    let (mut world, dav) = begin(|_| {});
    dav.borrow_mut().instead = Some(Box::new(|request| (request.method == "PUT").then(|| reply(403, ""))));
    world.rename("b", "Robert");
    assert_eq!((world.unsent(), world.names_in_book()), (1, vec!["Carol".to_owned(), "Robert".to_owned()]));
    let told = world.events.iter().filter(|event| event.name() == "contact-refused").count();
    let from = dav.borrow().log.len();
    world.pass(Duration::from_secs(3600));
    assert!(since(&dav, from).iter().all(|line| line.starts_with("REPORT")), "not again by itself");
    dav.borrow_mut().instead = None;
    assert_eq!((told, world.sync().unwrap().sent, world.unsent()), (1, 1, 0));
}

#[test]
fn a_server_that_is_away_is_asked_again_and_nothing_is_sent_twice() {
    let (mut world, dav) = begin(|_| {});
    let mut left = 3;
    dav.borrow_mut().instead = Some(Box::new(move |request| {
        let strikes = request.method == "PUT" && left > 0;
        left -= i32::from(strikes);
        strikes.then(|| match left {
            2 => Err(HttpsFailure::Broken("x".into())),
            1 => reply(503, ""),
            _ => reply(429, ""),
        })
    }));
    world.contact_change(BookChange::Add(Card::new("e", "Eve", &[])));
    assert_eq!(world.unsent(), 1);
    assert!(world.names().contains(&"retrying"));
    world.pass(Duration::from_secs(1800));
    assert_eq!((world.unsent(), dav.borrow().cards().len()), (0, 3));
    assert_eq!(world.machine.view().state, SessionState::Ready);
}

#[test]
fn an_answer_that_is_lost_makes_no_second_contact() {
    let (mut world, dav) = begin(|_| {});
    let server = Rc::clone(&dav);
    let mut once = true;
    world.hook = Some(Box::new(move |request| {
        let answer = server.borrow_mut().serve(request);
        let lost = request.method == "PUT" && std::mem::take(&mut once);
        if lost { Some(Err(HttpsFailure::Broken("x".into()))) } else { answer }
    }));
    world.contact_change(BookChange::Add(Card::new("e", "Eve", &[])));
    world.pass(Duration::from_secs(600));
    assert_eq!((world.unsent(), dav.borrow().cards().len(), world.names_in_book().len()), (0, 3, 3));
}

#[test]
fn a_large_picture_is_fetched_before_its_card_is_written() {
    let photo = format!("PHOTO:data:image/jpeg;base64,{}\r\n", "A".repeat(MAX_INLINE_BYTES));
    let (mut world, dav) = begin(|dav| dav.put("p.vcf", &card("p", "Pat", &photo)));
    let from = dav.borrow().log.len();
    world.rename("p", "Patricia");
    assert_eq!(since(&dav, from), ["REPORT sync 3", "GET p.vcf", "PUT p.vcf =\"3\""]);
    let text = dav.borrow().files["/carddav/a/p.vcf"].1.clone().unwrap();
    let written = Card::parse(&text).unwrap();
    assert_eq!(format!("{}\r\n", written.first("PHOTO").unwrap().as_str()), photo);
    assert_eq!((written.name().as_str(), world.unsent()), ("Patricia", 0));
}

#[test]
fn a_malformed_card_costs_no_other_and_is_told_as_a_number() {
    let (mut world, dav) = begin(|dav| dav.put("x.vcf", "BEGIN:VCARD\r\nFN\r\nEND:VCARD\r\n"));
    assert_eq!(world.names_in_book(), ["Bob", "Carol"]);
    assert_eq!(world.last_report(0).unwrap().unread, 1);
    assert_eq!(world.sync().unwrap().unread, 1);
    dav.borrow_mut().put("x.vcf", &card("x", "Xenia", ""));
    assert_eq!((world.sync().unwrap().unread, world.names_in_book().len()), (0, 3));
}

#[test]
fn a_session_for_the_address_book_alone_syncs_and_ends() {
    let mut dav = Dav::default();
    dav.put("b.vcf", &card("b", "Bob", ""));
    let dav = Rc::new(RefCell::new(dav));
    let mut world = World::of(CONFIG, StartOptions { goal: Goal::Contacts, ..StartOptions::default() });
    attach(&mut world, &dav);
    world.input(Input::Command(Command::Contacts { change: BookChange::Add(Card::new("e", "Eve", &[])) }));
    let world = world.start();
    let report = world.last_report(0).unwrap();
    assert_eq!((report.contacts, report.added, report.sent), (2, 1, 1));
    assert!(matches!(world.events.last(), Some(EventKind::Stopped { error: None, fault: None })));
    let useless = ["connect", "REGISTER", "POST /mcs/v1/license"];
    assert!(!world.trail.iter().any(|line| useless.contains(&line.as_str())), "{:?}", world.trail);
    assert_eq!(dav.borrow().cards().len(), 2);

    let mut world = World::of(CONFIG, StartOptions { goal: Goal::Contacts, ..StartOptions::default() });
    world.hook = Some(Box::new(|request| (request.method == "REPORT").then(|| reply(503, ""))));
    assert_eq!(
        world.start().failure().0,
        "provision.unavailable",
        "no second attempt: who asks wants an answer"
    );
}

#[test]
fn an_address_book_elsewhere_needs_no_sign_in_when_it_has_credentials_of_its_own() {
    let text = r#"
profile = "generic"
[dns]
hosts = { "dav.test" = ["127.0.0.1"] }
[sip]
domain = "127.0.0.1"
username = "alice"
password = "b"
transport = "tcp"
[contacts]
uri = "https://dav.test:8443/carddav/a"
username = "al"
password = "s"
"#;
    let mut dav = Dav::default();
    dav.put("b.vcf", &card("b", "Bob", ""));
    let dav = Rc::new(RefCell::new(dav));
    let mut world = World::of(text, StartOptions { goal: Goal::Contacts, ..StartOptions::default() });
    attach(&mut world, &dav);
    let world = world.start();
    assert_eq!(world.last_report(0).unwrap().added, 1, "{:?}", world.events);
    assert!(world.trail.iter().all(|line| line.ends_with("/carddav/a/")), "{:?}", world.trail);

    // The same beside calls: after the registration, which does not wait for it.
    let mut world = World::of(text, StartOptions::default());
    attach(&mut world, &dav);
    let mut world = world.start();
    assert_eq!(world.machine.view().state, SessionState::Ready);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.names_in_book(), ["Bob"]);
}

/// Both sides change at random while requests fail before or after they are done, tokens are forgotten and the store is read anew; then
/// all is well, and both sides have the same: everything that nobody removed.
#[test]
fn whatever_goes_wrong_both_sides_have_the_same_in_the_end() {
    for seed in 0..60_u64 {
        let mut lots = Lots(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (mut world, dav) = begin(|dav| dav.etagless = seed % 3 == 0);
        dav.borrow_mut().page = (seed % 4 == 0).then_some(2);
        dav.borrow_mut().bare = seed % 5 == 0;
        let server = Rc::clone(&dav);
        let mut trouble = Lots(seed + 7);
        world.hook = Some(Box::new(move |request| {
            if !request.target.starts_with("/carddav/") {
                return None;
            }
            match trouble.below(12) {
                0 => Some(Err(HttpsFailure::Broken("before".into()))),
                1 => {
                    let _done = server.borrow_mut().serve(request);
                    Some(Err(HttpsFailure::Broken("after".into())))
                }
                2 => Some(reply(503, "")),
                _ => server.borrow_mut().serve(request),
            }
        }));
        let mut kept: Vec<String> = Vec::new();
        for n in 0..25 {
            let name = format!("{seed}-{n}");
            match lots.below(7) {
                0 => {
                    world.contact_change(BookChange::Add(Card::new(&name, &name, &[])));
                    kept.push(name);
                }
                1 => dav.borrow_mut().put(&format!("{name}.vcf"), &card(&name, &name, "")),
                2 if !kept.is_empty() => {
                    let id = kept[lots.below(kept.len())].clone();
                    world.rename(&id, &format!("{id} again {n}"));
                }
                3 => {
                    let mut dav = dav.borrow_mut();
                    let there: Vec<String> = dav
                        .files
                        .iter()
                        .filter(|(_, (_, text))| text.is_some())
                        .map(|(file, _)| file.rsplit('/').next().unwrap().to_owned())
                        .collect();
                    let file = there[lots.below(there.len())].clone();
                    let old = dav.files[&format!("/carddav/a/{file}")].1.clone().unwrap();
                    let new = old.replace("END:VCARD", &format!("NOTE:{n}\r\nEND:VCARD"));
                    dav.put(&file, &new);
                }
                4 => dav.borrow_mut().tokens.clear(),
                5 => drop(world.sync()),
                _ => world.pass(Duration::from_secs(lots.below(90) as u64)),
            }
        }
        attach(&mut world, &dav);
        world.pass(Duration::from_secs(900));
        world.sync();
        let book = world.machine.view().book;
        let here: BTreeMap<String, String> =
            book.contacts().into_iter().map(|contact| (contact.id, contact.name)).collect();
        assert_eq!(book.unsent(), 0, "seed {seed}");
        assert_eq!(here, dav.borrow().cards(), "seed {seed}");
        assert!(kept.iter().all(|id| here.contains_key(id)), "seed {seed}: {kept:?} {here:?}");
        assert_eq!(world.machine.view().state, SessionState::Ready);
    }
}

struct Lots(u64);

impl Lots {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
