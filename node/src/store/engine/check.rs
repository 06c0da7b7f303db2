//! The check behind whatever the engine keeps on the disk.

use proto::hash::{Context, HASH_BYTES, derive};

/// Bytes and, after them, their check under a key: a value that changed on the disk, or lies under
/// another key, is none.
pub(super) fn checked(key: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
    let check = derive(Context::EngineRecord, &[key, &bytes]);
    bytes.extend(check.as_bytes());
    bytes
}

/// The bytes of a value that passes its check under this key.
pub(super) fn unchecked<'a>(key: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (content, check) = bytes.split_last_chunk::<HASH_BYTES>()?;
    (derive(Context::EngineRecord, &[key, content]).as_bytes() == check).then_some(content)
}
