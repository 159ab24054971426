//! Python packaging rules as pure functions: names, filenames, core metadata, archives, Simple pages.
