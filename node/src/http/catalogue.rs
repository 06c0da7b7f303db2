//! The text of a catalogue by its hash, from a folder that the operator fills.
//!
//! The ledger has the hash alone. What lies in the folder is not believed: a file whose text has
//! another hash than its name is not served.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use proto::lpp::{CATALOGUE_BYTES_MAX, Catalogue, CataloguePath};

use super::{IMMUTABLE, NO_CACHE, Pages, TEXT, not_found, page};

/// `GET /catalogue/<hash>`.
pub(super) async fn text(State(pages): State<Pages>, uri: Uri) -> Response {
    let path = uri.path().strip_prefix('/');
    let Some(path) = path.and_then(|path| path.parse::<CataloguePath>().ok()) else {
        return not_found();
    };
    let read = tokio::task::spawn_blocking(move || read(&pages.catalogues, path)).await;
    match read.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) {
        Ok(Some(text)) => page(StatusCode::OK, TEXT, IMMUTABLE, text),
        Ok(None) => not_found(),
        Err(error) => {
            tracing::error!(%error, "a catalogue cannot be served");
            let body = "the catalogue cannot be read\n";
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, NO_CACHE, body)
        }
    }
}

/// The text with this hash; `None` when there is no such file.
fn read(folder: &Path, path: CataloguePath) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(folder.join(path.file_name())) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    // One byte more than a catalogue has tells a longer file from the longest.
    let limit = u64::try_from(CATALOGUE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut text)?;
    let fits = text.len() <= CATALOGUE_BYTES_MAX && Catalogue::hash_of_text(&text) == path.0;
    fits.then_some(Some(text))
        .ok_or(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_text_is_served_under_its_own_hash_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text = b"vitrail-catalogue/v1\n";
        let path = CataloguePath(Catalogue::hash_of_text(text));
        let file = folder.path().join(path.file_name());
        let read = || read(folder.path(), path).map_err(|error| error.kind());
        assert_eq!(read(), Ok(None));
        fs::write(&file, text).unwrap();
        assert_eq!(read(), Ok(Some(text.to_vec())));
        fs::write(&file, b"vitrail-catalogue/v2\n").unwrap();
        assert_eq!(read(), Err(io::ErrorKind::InvalidData));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(read(), Err(io::ErrorKind::IsADirectory));
    }
}
