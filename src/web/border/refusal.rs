//! Why a delivery is not taken.

use crate::web::error::ApiError;

/// Why a delivery is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) enum Refusal {
    /// Unknown repository, one without a secret, or a signature that does not fit: nobody learns which.
    Unauthorized,
    TooLarge,
    /// The body took too long.
    Slow,
    BrokenOff,
    /// A form, or something packed.
    MediaType,
    /// Its address failed too often.
    AddressRate,
    /// Signed, but its repository sends too many.
    RepositoryRate,
    /// Too many bodies are being received.
    NoRoom,
    /// Signed, but not what a hook sends.
    Malformed(String),
}

impl Refusal {
    /// As figures and the log name it.
    pub(in crate::web) fn word(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::BrokenOff => "broken_off",
            Self::MediaType => "media_type",
            Self::AddressRate => "address_rate",
            Self::RepositoryRate => "repository_rate",
            Self::NoRoom => "no_room",
            Self::Malformed(_) => "malformed",
        }
    }

    /// Whether it came before the sender had shown that it knows the secret.
    pub(super) fn is_of_a_stranger(&self) -> bool {
        match self {
            Self::Unauthorized
            | Self::TooLarge
            | Self::Slow
            | Self::BrokenOff
            | Self::MediaType
            | Self::AddressRate => true,
            Self::RepositoryRate | Self::NoRoom | Self::Malformed(_) => false,
        }
    }

    pub(super) fn into_error(self) -> ApiError {
        let error = match self {
            Self::Unauthorized => ApiError::unauthorized(),
            Self::TooLarge => ApiError::too_large("a delivery may have 25 MiB"),
            Self::Slow => ApiError::timeout("the body came too slowly: there are 10 seconds for it"),
            Self::BrokenOff => ApiError::bad_request("the body broke off"),
            Self::MediaType => ApiError::unsupported_media_type(
                "a delivery is sent as it is: no form (application/json or text/plain), no Content-Encoding",
            ),
            Self::AddressRate => ApiError::too_many("too many deliveries from this address failed"),
            Self::RepositoryRate => {
                ApiError::too_many("more deliveries than [http] rate_per_repository allows; come again")
            }
            Self::NoRoom => {
                ApiError::unavailable("too many deliveries are being received at once; come again")
            }
            Self::Malformed(message) => ApiError::bad_request(message),
        };
        error.quiet()
    }
}
