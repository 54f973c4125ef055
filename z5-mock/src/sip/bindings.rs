//! Who is reachable over which connection (RFC 3261 section 10.3, kept per flow as RFC 5626 does).

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::ConnectionId;

/// Contacts one user may have.
const MAX_CONTACTS: usize = 16;

/// A contact of a user.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) contact: String,
    pub(crate) connection: ConnectionId,
    /// Which device it is (RFC 5626 section 4.1), if it says so.
    pub(crate) instance: Option<String>,
    pub(crate) expires: Instant,
}

/// All contacts by SIP user name.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    users: HashMap<String, Vec<Binding>>,
}

impl Bindings {
    /// Adds or renews a contact; a full list loses its oldest.
    pub(crate) fn bind(&mut self, user: &str, added: Binding) {
        let contacts = self.users.entry(user.to_owned()).or_default();
        contacts.retain(|binding| binding.contact != added.contact);
        if contacts.len() == MAX_CONTACTS {
            contacts.remove(0);
        }
        contacts.push(added);
    }

    /// How many there are, those that have expired and were not looked at since included.
    pub(crate) fn len(&self) -> usize {
        self.users.values().map(Vec::len).sum()
    }

    pub(crate) fn unbind(&mut self, user: &str, contact: &str) {
        if let Some(contacts) = self.users.get_mut(user) {
            contacts.retain(|binding| binding.contact != contact);
        }
    }

    pub(crate) fn unbind_all(&mut self, user: &str) {
        self.users.remove(user);
    }

    /// A connection is gone and so is what was reachable over it.
    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        for contacts in self.users.values_mut() {
            contacts.retain(|binding| binding.connection != connection);
        }
    }

    /// The contacts that have not expired, the newest last, with the time they have left.
    pub(crate) fn of(&mut self, user: &str, now: Instant) -> Vec<(Binding, Duration)> {
        let Some(contacts) = self.users.get_mut(user) else { return Vec::new() };
        contacts.retain(|binding| binding.expires > now);
        contacts.iter().map(|binding| (binding.clone(), binding.expires - now)).collect()
    }

    /// The newest contact of each device, the newest last.
    pub(crate) fn devices(&mut self, user: &str, now: Instant) -> Vec<Binding> {
        let mut devices: Vec<Binding> = Vec::new();
        for (binding, _) in self.of(user, now) {
            devices.retain(|known| known.instance.is_none() || known.instance != binding.instance);
            devices.push(binding);
        }
        devices
    }

    /// The contact that registered last.
    pub(crate) fn newest(&mut self, user: &str, now: Instant) -> Option<Binding> {
        self.of(user, now).pop().map(|(binding, _)| binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_end_by_time_by_request_and_with_their_connection() {
        let now = crate::clock::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let (one, two) = (ConnectionId(1), ConnectionId(2));
        let mut bindings = Bindings::default();
        let binding = |contact: &str, connection, instance: &str, expires| Binding {
            contact: contact.to_owned(),
            connection,
            instance: Some(instance.to_owned()).filter(|instance| !instance.is_empty()),
            expires,
        };
        bindings.bind("1", binding("sip:a", one, "", later(60)));
        bindings.bind("1", binding("sip:b", two, "", later(30)));
        assert_eq!(bindings.newest("1", now).map(|binding| binding.contact), Some("sip:b".to_owned()));
        assert_eq!(bindings.of("1", later(30)).len(), 1);
        bindings.bind("1", binding("sip:b", two, "", later(30)));
        bindings.closed(one);
        assert_eq!(bindings.of("1", now).len(), 1);
        bindings.unbind("1", "sip:b");
        assert!(bindings.newest("1", now).is_none());
        bindings.bind("1", binding("sip:a", one, "", later(60)));
        bindings.unbind_all("1");
        assert!(bindings.newest("1", now).is_none());
        // Of two flows of one device the newest counts; who does not say which device it is, is one of its own.
        for (contact, instance) in
            [("sip:a", "x"), ("sip:b", "y"), ("sip:c", "x"), ("sip:d", ""), ("sip:e", "")]
        {
            bindings.bind("2", binding(contact, one, instance, later(60)));
        }
        let devices: Vec<_> = bindings.devices("2", now).into_iter().map(|device| device.contact).collect();
        assert_eq!(devices, ["sip:b", "sip:c", "sip:d", "sip:e"]);
    }
}
