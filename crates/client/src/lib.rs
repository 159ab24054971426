//! The TUF client: fetching with deadlines and limits, and the trust store on disk.
