//! What went wrong with object storage, in words that say what to do.

use object_store::Error as StoreError;

use crate::error::{Error, with_causes};

/// The longest that a service is quoted.
const QUOTED: usize = 300;

/// `cannot ACTION URL: WHAT; HINT (the service said: …)`.
pub(super) fn of(action: &str, url: &str, error: &StoreError) -> Error {
    let said = with_causes(error);
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let bucket = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let credentials = credentials(url);
    let what = if has(&["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"]) {
        format!("there is no bucket {bucket}; make it, or look at its name, the region and the endpoint")
    } else if has(&["169.254.169.254", "latest/api/token", "metadata.google.internal", "169.254.170.2"]) {
        format!("no credentials were found, and this machine has none of its own; {credentials}")
    } else if has(&[
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AuthenticationFailed",
        "InvalidToken",
        "ExpiredToken",
    ]) || matches!(error, StoreError::Unauthenticated { .. })
    {
        format!("the credentials are wrong or have expired; {credentials}")
    } else if matches!(error, StoreError::PermissionDenied { .. }) {
        format!("access is denied; the credentials need the right to read, write, list and delete there; {credentials}")
    } else if has(&[
        "BareRedirect",
        "incorrectly configured region",
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
    ]) {
        "the bucket lies in another region; set AWS_REGION to it".to_owned()
    } else if has(&["Connection refused", "error trying to connect", "dns error", "connect error", "tcp connect"]) {
        "the service cannot be reached; look at the network, the endpoint and the region".to_owned()
    } else if has(&["timed out", "Timeout", "timeout"]) {
        "the service does not answer in time; look at the network, then start again".to_owned()
    } else {
        match error {
            StoreError::NotFound { .. } => "it is not there".to_owned(),
            StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
                "this service lacks conditional writes, without which two drivers could write one run".to_owned()
            }
            _ => "the service or the network failed, also when tried again".to_owned(),
        }
    };
    Error::storage(format!("cannot {action} {url}: {what} (the service said: {})", quoted(&said)))
}

/// For a request that took longer than all its tries may.
pub(super) fn late(action: &str, url: &str) -> Error {
    Error::storage(format!(
        "cannot {action} {url}: the service does not answer in time; look at the network, then start again"
    ))
}

/// Settings from which no store can be made.
pub(super) fn of_settings(url: &str, error: &StoreError) -> Error {
    Error::storage(format!("the storage {url} cannot be used: {}; {}", quoted(&with_causes(error)), credentials(url)))
}

/// Where a cloud's credentials come from.
fn credentials(url: &str) -> &'static str {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3") => {
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and AWS_ENDPOINT_URL for a service that is not Amazon's"
        }
        Some("gs") => "set GOOGLE_APPLICATION_CREDENTIALS, or GOOGLE_SERVICE_ACCOUNT to a key file",
        Some("az") => "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        _ => "look at the settings",
    }
}

/// In one line that is not too long.
fn quoted(said: &str) -> String {
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}
