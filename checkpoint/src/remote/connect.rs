//! From a URL, the environment and the options to a store.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::path::{Path, PathPart};
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use super::trouble;
use crate::error::{Error, Result};
use crate::storage::StorageOptions;

/// Stores in memory by name, so that two drivers in one process see the same.
static IN_MEMORY: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

/// A connection that is not made by then is tried anew.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Fills a builder: first the environment, then the options, then what neither says.
macro_rules! build {
    ($builder:ident, $key:ident, $with_bucket:ident, $url:expr, $bucket:expr, $options:expr) => {{
        let mut builder = $builder::from_env();
        for (name, value) in &$options.settings {
            let key: $key =
                name.parse().map_err(|_| Error::storage(format!("`{name}` is no setting of the storage {}", $url)))?;
            builder = builder.with_config(key, value);
        }
        let seconds = |time: Duration| format!("{} ms", time.as_millis().max(1));
        let defaults = [
            (ClientConfigKey::ConnectTimeout, seconds(CONNECT_WITHIN.min($options.request_within))),
            (ClientConfigKey::Timeout, seconds($options.request_within)),
        ];
        for (key, value) in defaults {
            if !$options
                .settings
                .iter()
                .any(|(name, _)| name.parse::<$key>().is_ok_and(|given| given == $key::Client(key)))
                && !is_client_setting_in_environment(key)
            {
                builder = builder.with_config($key::Client(key), value);
            }
        }
        builder.$with_bucket($bucket).with_retry(retry($options))
    }};
}

/// `AWS_TIMEOUT` and its like: a person's word counts before ours.
fn is_client_setting_in_environment(key: ClientConfigKey) -> bool {
    let name = key.as_ref().to_ascii_uppercase();
    ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| std::env::var_os(format!("{prefix}{name}")).is_some())
}

/// The store of a URL, and where in it the run lies.
pub(super) fn connect(url: &str, options: &StorageOptions) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix: Path = prefix.split('/').filter(|part| !part.is_empty()).map(PathPart::from).collect();
    let failed = |error| trouble::of_settings(url, &error);
    let store: Arc<dyn ObjectStore> = match scheme {
        "s3" => {
            let builder = build!(AmazonS3Builder, AmazonS3ConfigKey, with_bucket_name, url, bucket, options);
            let plain = is_plain(builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
            let builder = if plain { builder.with_allow_http(true) } else { builder };
            Arc::new(builder.build().map_err(failed)?)
        }
        "az" => {
            let builder = build!(MicrosoftAzureBuilder, AzureConfigKey, with_container_name, url, bucket, options);
            let plain = is_plain(builder.get_config_value(&AzureConfigKey::Endpoint));
            let builder = if plain { builder.with_allow_http(true) } else { builder };
            Arc::new(builder.build().map_err(failed)?)
        }
        "gs" => {
            let builder = build!(GoogleCloudStorageBuilder, GoogleConfigKey, with_bucket_name, url, bucket, options);
            Arc::new(builder.build().map_err(failed)?)
        }
        "memory" => {
            let mut stores = IN_MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(stores.entry(bucket.to_owned()).or_default()) as Arc<dyn ObjectStore>
        }
        _ => return Err(Error::storage(format!("{url} is no storage that trainloop knows"))),
    };
    Ok((store, prefix))
}

/// Whoever writes `http://` before an endpoint means it.
fn is_plain(endpoint: Option<String>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

fn retry(options: &StorageOptions) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10).min(options.retry_for),
            base: 2.,
        },
        max_retries: 10,
        retry_timeout: options.retry_for,
    }
}
