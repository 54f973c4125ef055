//! How much a user agent remembers: back to what it was once everything is over, however long it runs.

use super::UserAgent;

impl UserAgent {
    /// Transactions, calls, dialogs, subscriptions, transfers and requests that wait, all together. What is kept in a ring of fixed length
    /// (dialogs that are over) and counters do not count.
    pub fn remembered(&self) -> usize {
        self.transactions.len()
            + self.calls.len()
            + self.dialogs.len()
            + self.subscriptions.len()
            + self.adrift.len()
            + self.transfers.len()
            + self.requested.len()
            + self.referrals.len()
            + self.redirects.len()
            + self.doorstep.len()
    }
}
