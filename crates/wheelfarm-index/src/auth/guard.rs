//! A limit on failures: who sends secrets that are not known is told to wait.
//!
//! A secret that is good is always taken, also from an address that others fail from: behind one address may be a
//! whole company. Guessing is hopeless anyway (a secret has 256 random bits); this keeps logs readable and clients that
//! try for ever from costing more than a hash and a look into a table.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;

use crate::Problem;
use crate::registry::TokenId;

/// Failures that are answered at once; after them, one every [`EVERY`].
const AT_ONCE: i32 = 30;
/// How long a failure counts, in seconds.
const EVERY: i32 = 2;
/// Most of who failed lately that are remembered.
const REMEMBERED: usize = 10_000;

/// Who failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// A client at an address. Of IPv6 the network: one client has many addresses there.
    Address(IpAddr),
    /// Somebody who has a token that is not taken any more.
    Token(TokenId),
    /// A client without an address.
    Unknown,
}

/// Remembers failures until they do not count any more.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// When all failures will have been forgotten.
    failures: Mutex<HashMap<Who, DateTime<Utc>>>,
}

impl Who {
    /// A client at `address`.
    pub(crate) fn at(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() & (u128::MAX << 64);
                Self::Address(Ipv6Addr::from_bits(network).into())
            }
            Some(address) => Self::Address(address),
            None => Self::Unknown,
        }
    }
}

impl Guard {
    /// Counts a failure; an error if there are too many of `who`.
    pub(crate) fn failed(&self, who: Who, now: DateTime<Utc>) -> Result<(), Problem> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED && !failures.contains_key(&who) {
            failures.retain(|_, until| *until > now);
            // A flood from everywhere: nobody can be told from others, and the memory has an end.
            if failures.len() >= REMEMBERED {
                failures.clear();
            }
        }
        let until = failures.entry(who).or_insert(now);
        let later = (*until).max(now) + TimeDelta::seconds(EVERY.into());
        let wait = later - now - TimeDelta::seconds((AT_ONCE * EVERY).into());
        if wait <= TimeDelta::zero() {
            *until = later;
            return Ok(());
        }
        let seconds = wait.num_seconds().max(1);
        Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests with tokens that are not known",
        )
        .with_retry_after(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_limited_and_forgotten() {
        let guard = Guard::default();
        let one = || Who::at("10.0.0.1".parse().ok());
        let mut now = DateTime::UNIX_EPOCH;
        for _ in 0..AT_ONCE {
            guard.failed(one(), now).unwrap();
        }
        let problem = guard.failed(one(), now).unwrap_err();
        assert_eq!(problem.status, 429);
        assert_eq!(problem.retry_after, Some(2));
        guard.failed(Who::at("10.0.0.2".parse().ok()), now).unwrap();
        now += TimeDelta::seconds(2);
        guard.failed(one(), now).unwrap();
        assert!(guard.failed(one(), now).is_err());
        now += TimeDelta::seconds(i64::from(AT_ONCE * EVERY));
        for _ in 0..AT_ONCE {
            guard.failed(one(), now).unwrap();
        }
    }

    #[test]
    fn memory_has_an_end() {
        let guard = Guard::default();
        let now = DateTime::UNIX_EPOCH;
        for number in 0..3 * u32::try_from(REMEMBERED).unwrap() {
            let address = IpAddr::from(number.to_be_bytes());
            guard.failed(Who::at(Some(address)), now).unwrap();
        }
        assert!(guard.failures.lock().unwrap().len() <= REMEMBERED);
    }

    #[test]
    fn a_network_of_version_six_is_one_client() {
        let at = |text: &str| Who::at(text.parse().ok());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}
