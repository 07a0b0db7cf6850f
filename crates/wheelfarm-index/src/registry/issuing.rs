//! Making tokens of which no two have the same name.

use chrono::{DateTime, Utc};

use crate::registry::{Actor, CommitError, Event, Registry, Token, TokenError, TokenId};

/// How often a name may be that of another token. Names have 32 bits: even the second time says that the system's
/// random numbers are none.
const TRIES: usize = 4;

impl Registry {
    /// Writes down a token that `generate` makes, as [`Token::generate`] does; one whose name another token has is made
    /// again, since it would take that one's place. Returns its name and its secret.
    pub async fn create_token(
        &self,
        by: &Actor,
        now: DateTime<Utc>,
        mut generate: impl FnMut() -> Result<(Token, String), TokenError>,
    ) -> Result<(TokenId, String), CommitError<TokenError>> {
        let mut tries = 0;
        loop {
            let (token, secret) = generate().map_err(CommitError::Refused)?;
            let id = token.id.clone();
            let committed = self.commit(by, now, |state| {
                if state.token(&token.id).is_some() {
                    return Err(TokenError::Taken(token.id.clone()));
                }
                let token = token.clone();
                Ok((vec![Event::TokenCreated { token }], ()))
            });
            tries += 1;
            match committed.await {
                Ok(()) => return Ok((id, secret)),
                Err(CommitError::Refused(TokenError::Taken(_))) if tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::testing::registry;

    fn token() -> (Token, String) {
        let now = DateTime::UNIX_EPOCH;
        Token::generate("t".into(), [].into(), [].into(), now, None).unwrap()
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_not_given_again() {
        let registry = registry().await;
        let (by, now) = (Actor::Operator, DateTime::UNIX_EPOCH);
        let first = token();
        let create = registry.create_token(&by, now, || Ok(first.clone()));
        let (id, _) = create.await.unwrap();
        let clashing = || {
            let (mut token, secret) = token();
            token.id = id.clone();
            (token, secret)
        };
        let other = token();
        let mut made = [clashing(), other.clone()].into_iter();
        let create = registry.create_token(&by, now, || Ok(made.next().unwrap()));
        let (created, secret) = create.await.unwrap();
        assert_eq!((created, secret), (other.0.id.clone(), other.1));
        // The first is what it was.
        let kept = registry.read(|state| state.token(&id).cloned()).unwrap();
        assert_eq!(*kept, first.0);
        // Without an end of clashes there is an error.
        let create = registry.create_token(&by, now, || Ok(clashing()));
        let error = create.await.unwrap_err();
        assert!(matches!(error, CommitError::Refused(TokenError::Taken(taken)) if taken == id));
        assert_eq!(registry.read(|state| state.tokens().count()), 2);
    }
}
