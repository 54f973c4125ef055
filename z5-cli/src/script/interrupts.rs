//! Ctrl-C and the other ways in which a system asks a program to end.

use tokio::sync::mpsc;

/// Every Ctrl-C and everything else that asks the program to end, also what comes while something else is awaited: SIGTERM and
/// SIGHUP on Unix; Ctrl-Break, the closed window, the end of the user's session and of the system on Windows.
pub(crate) fn interrupts() -> mpsc::UnboundedReceiver<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    system::listen(&sender);
    receiver
}

// the handlers are there when this returns: a signal that comes at once is not lost
#[cfg(unix)]
mod system {
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::sync::mpsc::UnboundedSender;

    pub(super) fn listen(sender: &UnboundedSender<()>) {
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            // a system that gives no handler leaves the signal's own effect
            let Ok(mut signals) = signal(kind) else { continue };
            let sender = sender.clone();
            tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(()).is_ok() {} });
        }
    }
}

#[cfg(windows)]
mod system {
    use tokio::signal::windows;
    use tokio::sync::mpsc::UnboundedSender;

    /// Passes on what one kind of signal tells. A system that gives no handler leaves the signal's own effect.
    macro_rules! pass_on {
        ($($kind:ident),*) => {
            pub(super) fn listen(sender: &UnboundedSender<()>) {
                $(if let Ok(mut signals) = windows::$kind() {
                    let sender = sender.clone();
                    tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(()).is_ok() {} });
                })*
            }
        };
    }
    // each kind is a type of its own
    pass_on!(ctrl_c, ctrl_break, ctrl_close, ctrl_logoff, ctrl_shutdown);
}
