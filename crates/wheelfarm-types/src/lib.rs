//! Names, versions, filenames, tags, digests: the words every other crate speaks
