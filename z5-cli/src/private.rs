//! Files that nobody but their owner reads: configurations with passwords, transcripts. On Unix by mode, from the first moment;
//! elsewhere by what the directory gives to what is in it.

pub(crate) use system::owner_only;

#[cfg(unix)]
mod system {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt as _;

    pub(crate) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
        options.mode(0o600)
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::OpenOptions;

    pub(crate) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }
}
