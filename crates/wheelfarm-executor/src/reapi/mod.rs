//! Remote Execution: what an image or a stored tree of files is on an engine that knows no images ([`RootImage`]).

mod root;

pub use root::{LeftOut, RootImage, tree_of_archive};
