//! A backend, given how one kind of VMM is booted, saved and restored.
//!
//! Owns the kernel and the initramfs that VMs are made from, and the zygote that was made of
//! these. A rebuild puts new ones in their place; starts under way keep what they began with.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::core::pool::How;
use crate::vm::launch::{Assets, LauncherTerms};
use crate::vm::{Backend, ReadyVm, StartError};

/// One kind of VMM.
pub(super) trait Launch: std::fmt::Debug + Send + Sync + 'static {
    /// A saved guest.
    type Zygote: std::fmt::Debug + Send + Sync;

    /// VMM and accelerator.
    fn vmm(&self) -> String;

    /// What VMs are made with.
    fn terms(&self) -> &LauncherTerms;

    /// A ready VM from the kernel up.
    fn boot(&self, assets: &Assets) -> impl Future<Output = Result<ReadyVm, StartError>> + Send;

    /// Boots a guest and saves it.
    fn build(&self, assets: &Assets)
    -> impl Future<Output = Result<Self::Zygote, NoZygote>> + Send;

    /// A ready VM like the zygote was, with an io file of its own.
    fn restore(
        &self,
        zygote: &Self::Zygote,
    ) -> impl Future<Output = Result<ReadyVm, StartError>> + Send;
}

/// Why there is no zygote.
#[derive(Debug)]
pub(super) enum NoZygote {
    /// The guest does not boot, so there are no VMs either.
    NoBoot(StartError),
    /// It boots and cannot be saved: VMs are booted instead, slower, and nothing is lost.
    NotSaved(StartError),
}

impl NoZygote {
    fn into_error(self) -> StartError {
        match self {
            Self::NoBoot(error) | Self::NotSaved(error) => error,
        }
    }
}

/// Makes VMs of one kind.
#[derive(Debug)]
pub(super) struct Maker<L: Launch> {
    launcher: L,
    vmm: String,
    /// Whether VMs are to be restored.
    saves: bool,
    /// A leaf lock, held for one copy of a pointer.
    stock: Mutex<Arc<Stock<L::Zygote>>>,
}

/// What VMs are made from. A start takes it whole, so that a rebuild never mixes two of them.
#[derive(Debug)]
struct Stock<Z> {
    assets: Assets,
    zygote: Option<Z>,
}

impl<L: Launch> Maker<L> {
    /// Boots a guest, which proves that this kind works here, and saves it if `saves` says so.
    pub(super) async fn try_out(launcher: L, saves: bool) -> Result<Self, StartError> {
        let assets = Assets::open(&launcher.terms().assets)?;
        let zygote = if saves {
            match launcher.build(&assets).await {
                Ok(zygote) => Some(zygote),
                Err(NoZygote::NoBoot(error)) => return Err(error),
                Err(NoZygote::NotSaved(error)) => {
                    let error = crate::chain(&error);
                    tracing::error!(error, "no zygote; vms are booted instead");
                    None
                }
            }
        } else {
            launcher.boot(&assets).await?.kill().await;
            None
        };
        Ok(Self::new(launcher, saves, Stock { assets, zygote }))
    }

    /// For a host on which nothing else is left to try: VMs are booted, whenever that works.
    pub(super) fn untried(launcher: L) -> Result<Self, StartError> {
        let assets = Assets::open(&launcher.terms().assets)?;
        Ok(Self::new(launcher, true, Stock { assets, zygote: None }))
    }

    fn new(launcher: L, saves: bool, stock: Stock<L::Zygote>) -> Self {
        let vmm = launcher.vmm();
        Self { launcher, vmm, saves, stock: Mutex::new(Arc::new(stock)) }
    }

    fn stock(&self) -> Arc<Stock<L::Zygote>> {
        Arc::clone(&self.stock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn make(&self, how: How) -> Result<ReadyVm, StartError> {
        let stock = self.stock();
        match (how, &stock.zygote) {
            (How::Restore, Some(zygote)) => self.launcher.restore(zygote).await,
            (How::Restore, None) | (How::Boot, _) => self.launcher.boot(&stock.assets).await,
        }
    }

    async fn renew(&self) -> Result<(), StartError> {
        let assets = Assets::open(&self.launcher.terms().assets)?;
        let zygote = if self.saves {
            Some(self.launcher.build(&assets).await.map_err(NoZygote::into_error)?)
        } else {
            // Told to boot: that the new kernel does is all there is to it.
            self.launcher.boot(&assets).await?.kill().await;
            None
        };
        let stock = Arc::new(Stock { assets, zygote });
        *self.stock.lock().unwrap_or_else(PoisonError::into_inner) = stock;
        Ok(())
    }
}

impl<L: Launch> Backend for Maker<L> {
    fn vmm(&self) -> &str {
        &self.vmm
    }

    fn start(&self, how: How) -> BoxFuture<'_, Result<ReadyVm, StartError>> {
        self.make(how).boxed()
    }

    fn has_zygote(&self) -> bool {
        self.stock().zygote.is_some()
    }

    fn wants_zygote(&self) -> bool {
        self.saves
    }

    fn rebuild(&self) -> BoxFuture<'_, Result<(), StartError>> {
        self.renew().boxed()
    }
}
