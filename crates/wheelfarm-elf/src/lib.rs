//! Read an ELF object and edit it: bytes in, bytes out
