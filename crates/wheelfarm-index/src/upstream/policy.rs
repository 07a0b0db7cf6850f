//! Where a name comes from: decided here, for all clients, so that nobody outside can slip in a project with the name
//! of one of ours ("dependency confusion").
//!
//! In this order:
//! 1. a pin that fits the name; of several the narrowest, and of equals the one to the local side;
//! 2. a name that was ever published in any channel of the farm is local, even if all its files were deleted since;
//! 3. anything else is upstream's.

use std::fmt;
use std::str::FromStr;

use wheelfarm_types::ProjectName;

use crate::registry::State;

/// Where a name comes from. Never from both: files of two origins are not mixed on one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The farm: upstream is not even asked.
    Local,
    /// The index behind it.
    Upstream,
}

/// Names that somebody has decided about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// Never looked up upstream.
    pub local: Vec<Pin>,
    /// Always looked up upstream, even if the farm has the name as well.
    pub upstream: Vec<Pin>,
}

/// A project's name, or what names begin with: `requests`, `mycorp-*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Normalised, without the star.
    start: String,
    /// Whether the name may go on.
    open: bool,
}

/// A text that is neither a name nor the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a project's name nor the beginning of names, such as `mycorp-*`")]
pub struct PinError(String);

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let error = || PinError(text.chars().take(80).collect());
        let Some(start) = text.strip_suffix('*') else {
            let name: ProjectName = text.parse().map_err(|_| error())?;
            return Ok(Self {
                start: name.to_string(),
                open: false,
            });
        };
        // A name cannot end with a separator, but what names begin with can: `My.Corp_*` is `my-corp-*`.
        let separator = start.ends_with(['-', '_', '.']);
        let bare = start.trim_end_matches(['-', '_', '.']);
        if bare.is_empty() {
            return if start.is_empty() {
                Ok(Self {
                    start: String::new(),
                    open: true,
                })
            } else {
                Err(error())
            };
        }
        let name: ProjectName = bare.parse().map_err(|_| error())?;
        Ok(Self {
            start: format!("{name}{}", if separator { "-" } else { "" }),
            open: true,
        })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.start, if self.open { "*" } else { "" })
    }
}

impl Pin {
    fn fits(&self, name: &ProjectName) -> bool {
        if self.open {
            name.as_str().starts_with(&self.start)
        } else {
            name.as_str() == self.start
        }
    }

    /// Of pins that fit a name, the narrowest has the highest.
    fn narrowness(&self) -> (bool, usize) {
        (!self.open, self.start.len())
    }
}

impl Pins {
    /// What the pins say of `name`, if they do.
    pub fn of(&self, name: &ProjectName) -> Option<Origin> {
        let narrowest = |pins: &[Pin]| {
            let fitting = pins.iter().filter(|pin| pin.fits(name));
            fitting.map(Pin::narrowness).max()
        };
        match (narrowest(&self.local), narrowest(&self.upstream)) {
            (None, None) => None,
            (local, upstream) if local >= upstream => Some(Origin::Local),
            _ => Some(Origin::Upstream),
        }
    }

    /// Where `name` comes from, as long as the farm is in `state`.
    pub(crate) fn origin(&self, name: &ProjectName, state: &State) -> Origin {
        self.of(name).unwrap_or_else(|| {
            // A project whose files were all deleted is still there: its names are used up.
            let ours = state
                .channels()
                .any(|(_, channel)| channel.projects.contains_key(name));
            if ours {
                Origin::Local
            } else {
                Origin::Upstream
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::testing::{commit, publish, registry};
    use crate::registry::{Channel, Event};

    fn pins(local: &[&str], upstream: &[&str]) -> Pins {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Pins {
            local: parse(local),
            upstream: parse(upstream),
        }
    }

    fn name(text: &str) -> ProjectName {
        text.parse().unwrap()
    }

    #[test]
    fn pins_are_names_or_what_names_begin_with() {
        let pins = pins(&["My.Corp_*", "Exact_Name"], &[]);
        for (project, expected) in [
            ("mycorp", None),
            ("my-corp", None),
            ("my-corp-x", Some(Origin::Local)),
            ("MY_CORP.x", Some(Origin::Local)),
            ("exact.name", Some(Origin::Local)),
            ("exact-name-2", None),
        ] {
            assert_eq!(pins.of(&name(project)), expected, "{project}");
        }
        for bad in ["", "-*", "a b", "a*b", "**", "é", "-a"] {
            assert!(bad.parse::<Pin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_narrowest_pin_counts_and_of_equals_the_local_one() {
        let pins = pins(
            &["*", "corp-*", "both"],
            &["requests", "corp-open-*", "both"],
        );
        for (project, expected) in [
            ("requests", Origin::Upstream),
            ("other", Origin::Local),
            ("corp-x", Origin::Local),
            ("corp-open-x", Origin::Upstream),
            ("both", Origin::Local),
        ] {
            assert_eq!(pins.of(&name(project)), Some(expected), "{project}");
        }
    }

    #[tokio::test]
    async fn a_name_that_the_farm_has_or_had_in_any_channel_is_local() {
        let registry = registry().await;
        let staging: Channel = "staging".parse().unwrap();
        let file = publish(&registry, &staging, "X_y-1-py3-none-any.whl", b"x").await;
        let origin =
            |pins: &Pins, project: &str| registry.read(|state| pins.origin(&name(project), state));
        let none = Pins::default();
        assert_eq!(origin(&none, "x.Y"), Origin::Local);
        assert_eq!(origin(&none, "z"), Origin::Upstream);
        let pinned = pins(&["z"], &["x-y"]);
        assert_eq!(origin(&pinned, "x-y"), Origin::Upstream);
        assert_eq!(origin(&pinned, "z"), Origin::Local);
        let deleted = Event::Deleted {
            channel: staging,
            project: file.project,
            filename: file.filename,
        };
        commit(&registry, deleted).await;
        assert_eq!(origin(&none, "x-y"), Origin::Local);
    }
}
