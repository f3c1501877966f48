//! The account at an authority that an ACME account is bound to (RFC 8555, 7.3.4).

use data_encoding::BASE64URL_NOPAD;

use super::reader::Section;
use super::secret::Secret;

/// Both as the authority gives them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountBinding {
    pub key_id: String,
    /// Base64, as [`AccountBinding::key`] reads it.
    hmac_key: Secret,
}

impl AccountBinding {
    /// None where the key is not base64, or empty.
    pub fn new(key_id: String, hmac_key: Secret) -> Option<Self> {
        decoded(hmac_key.reveal())?;
        Some(Self { key_id, hmac_key })
    }

    /// The key itself.
    pub fn key(&self) -> Vec<u8> {
        decoded(self.hmac_key.reveal()).unwrap_or_default()
    }

    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let key_id = section.text("eab_key_id").filter(|id| !id.is_empty());
        let key = section.secret(["eab_hmac_key", "eab_hmac_key_file", "eab_hmac_key_env"]);
        match (key_id, key) {
            (None, None) => None,
            (Some(key_id), Some(key)) => {
                let binding = Self::new(key_id, key);
                if binding.is_none() {
                    section.fault("eab_hmac_key", "must be base64, as the authority gives it out");
                }
                binding
            }
            (Some(_), None) => {
                let missing =
                    !section.has_fault("eab_hmac_key_file") && !section.has_fault("eab_hmac_key_env");
                section.needed(
                    "eab_hmac_key_file",
                    !missing,
                    "is needed beside `eab_key_id`: a file with the key",
                );
                None
            }
            (None, Some(_)) => {
                section.needed(
                    "eab_key_id",
                    false,
                    "is needed beside `eab_hmac_key`: what the key is called",
                );
                None
            }
        }
    }
}

/// Both alphabets, with or without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
    BASE64URL_NOPAD.decode(text.as_bytes()).ok().filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_both_alphabets_and_never_shown() {
        let bytes =
            |text: &str| AccountBinding::new("kid".into(), Secret::new(text.into())).map(|it| it.key());
        let key = Some(vec![0xfb, 0xff, 0xfe, 0x01]);
        assert_eq!((bytes("-__-AQ"), bytes("+//+AQ==\n")), (key.clone(), key));
        assert_eq!((bytes(""), bytes("no key")), (None, None));
        let binding = AccountBinding::new("kid".into(), Secret::new("c2VjcmV0".into())).unwrap();
        assert!(!format!("{binding:?}").contains("c2Vj"), "{binding:?}");
    }
}
