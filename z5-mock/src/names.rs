//! The five names of the documented network requirement, in their roles.
//!
//! The defaults are the requirement's names under the reserved top level `.test` (RFC 6761 section 6.2): the mock
//! never answers for a name that exists.

use serde::Serialize;

/// The names a client resolves in step 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Names {
    /// The sign-in server.
    pub zdial: String,
    /// The load-balanced name of the MCS, tried first.
    pub mcs_lb: String,
    /// The generic name of the MCS.
    pub mcs: String,
    /// The first node of the MCS.
    pub mcs_node1: String,
    /// The second node of the MCS.
    pub mcs_node2: String,
}

impl Default for Names {
    fn default() -> Self {
        Self::under("champvrs.test", "csdvrs.test")
    }
}

impl Names {
    /// The five roles under two domains: `zdial.<sign_in>` and `mcs.<provider>` with its three relatives.
    pub fn under(sign_in: &str, provider: &str) -> Self {
        Self {
            zdial: format!("zdial.{sign_in}"),
            mcs_lb: format!("lb.mcs.{provider}"),
            mcs: format!("mcs.{provider}"),
            mcs_node1: format!("mcs1.mcs.{provider}"),
            mcs_node2: format!("mcs2.mcs.{provider}"),
        }
    }

    /// All five, the sign-in server first, then the MCS in the order a client tries them.
    pub fn all(&self) -> [&str; 5] {
        [&self.zdial, &self.mcs_lb, &self.mcs, &self.mcs_node1, &self.mcs_node2]
    }

    /// The four names of the MCS in the order a client tries them.
    pub fn mcs_targets(&self) -> [&str; 4] {
        [&self.mcs_lb, &self.mcs, &self.mcs_node1, &self.mcs_node2]
    }

    /// The SIP domain of the provider: the generic MCS name without its first label.
    pub fn domain(&self) -> &str {
        self.mcs.split_once('.').map_or(self.mcs.as_str(), |(_, rest)| rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_reserved_names_in_the_documented_roles() {
        let names = Names::default();
        assert_eq!(names.all().len(), 5);
        assert!(names.all().iter().all(|name| name.ends_with(".test")));
        assert_eq!(
            names.mcs_targets(),
            ["lb.mcs.csdvrs.test", "mcs.csdvrs.test", "mcs1.mcs.csdvrs.test", "mcs2.mcs.csdvrs.test"]
        );
        assert_eq!(names.domain(), "csdvrs.test");
    }
}
