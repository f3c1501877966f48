//! How the commands reach a daemon elsewhere: from the environment alone, never from the configuration's file.

use std::path::Path;

use super::secret::Secret;

/// Variable with the address of a daemon.
pub const SERVER: &str = "DREY_SERVER";
/// Variable with a token.
const TOKEN: &str = "DREY_TOKEN";
/// Variable with the path of a file that holds a token.
const TOKEN_FILE: &str = "DREY_TOKEN_FILE";

/// The token that the environment gives, directly or by the name of a file. It is never taken from the command line, which
/// everybody on the machine can read.
///
/// # Errors
/// When there is none, or the file cannot be read; each says what to do.
pub fn token(environment: &[(String, String)]) -> Result<Secret, String> {
    let value = |wanted: &str| {
        environment.iter().find(|(name, value)| name == wanted && !value.is_empty()).map(|(_, value)| value)
    };
    let text = match (value(TOKEN), value(TOKEN_FILE)) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => std::fs::read_to_string(Path::new(file))
            .map_err(|error| format!("{TOKEN_FILE}: {file}: {error}"))?,
        (None, None) => {
            return Err(format!(
                "a daemon elsewhere wants a token: put it into {TOKEN}, or its file's name into {TOKEN_FILE}; `drey \
                 token create` on the daemon's machine makes one"
            ));
        }
    };
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{TOKEN}: is no token; it begins with drey_ and has no spaces"));
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Result<Secret, String> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        token(&pairs)
    }

    #[test]
    fn a_token_comes_from_the_environment_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "drey_file\n").unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(given(&[(TOKEN, "drey_x")]).unwrap().reveal(), "drey_x");
        assert_eq!(given(&[(TOKEN_FILE, path)]).unwrap().reveal(), "drey_file");
        assert_eq!(given(&[(TOKEN, "drey_x"), (TOKEN_FILE, path)]).unwrap().reveal(), "drey_x");
        assert!(given(&[(TOKEN, "")]).unwrap_err().contains("drey token create"));
        assert!(given(&[(TOKEN, "drey_x\r\nHost: y")]).is_err());
        assert!(
            given(&[(TOKEN_FILE, "/nonexistent")]).unwrap_err().starts_with("DREY_TOKEN_FILE: /nonexistent")
        );
    }
}
