//! Plan and apply a wheel repair: graft, patch, retag, SBOM
