//! Whether packs are what they are called, found out in the background after the start.
//!
//! A pack is some hundred MiB; reading all of them before the first job would keep a worker from
//! its work for seconds. So images are offered at once, and those of a pack that turns out to be
//! damaged are withdrawn for good. The opened file is what is read, and what VMs are given.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::driver::PoolHandle;
use crate::images::Pack;
use crate::library::Library;
use crate::metrics::{Metrics, PackState};

/// Reads all packs, one after the other, at half a core's pace, until `stop`.
pub async fn verify(library: Library, pool: PoolHandle, metrics: Metrics, stop: CancellationToken) {
    let images = library.now();
    let mut left = images.packs().len();
    let (mut good, mut bad) = (0, 0);
    let show = |left, good, bad| {
        metrics.packs(PackState::Unverified, left);
        metrics.packs(PackState::Verified, good);
        metrics.packs(PackState::Bad, bad);
    };
    show(left, good, bad);
    for pack in images.packs() {
        let Some(fine) = read(Arc::clone(pack), stop.clone()).await else {
            return;
        };
        left -= 1;
        if fine {
            good += 1;
        } else {
            bad += 1;
            tracing::error!(pack = %pack.digest().hex(), "pack is damaged: make or fetch it anew");
            for image in images.of_pack(pack.digest()) {
                pool.condemn(image).await;
            }
            library.found_bad(pack.digest());
        }
        show(left, good, bad);
    }
    tracing::info!(good, bad, "packs are verified");
}

/// Whether a pack is what it is called; `None` when told to stop.
async fn read(pack: Arc<Pack>, stop: CancellationToken) -> Option<bool> {
    let told = stop.clone();
    let reading = tokio::task::spawn_blocking(move || {
        pack.verify(|took| {
            std::thread::sleep(took);
            !told.is_cancelled()
        })
    });
    let verdict = tokio::select! {
        biased;
        // It ends with its next piece.
        () = stop.cancelled() => return None,
        verdict = reading => verdict,
    };
    match verdict {
        Ok(Ok(fine)) => Some(fine),
        Ok(Err(error)) => {
            tracing::error!(%error, "pack cannot be read");
            Some(false)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::pool::PoolTerms;
    use crate::driver;
    use crate::images::tests::Shelf;
    use crate::vm::fake::FakeHost;

    #[tokio::test]
    async fn a_damaged_pack_takes_its_images_out_and_leaves_the_others() {
        let mut shelf = Shelf::new();
        let good = shelf.true_pack("good", [1; 16]);
        let bad = shelf.pack("bad", pe_proto::limits::PMEM_ALIGN, [2; 16], 0o444);
        let library = Library::new(shelf.open());
        assert_eq!(library.now().digests().len(), 2);
        let metrics = Metrics::new().expect("metrics");
        let host = Arc::new(FakeHost::polite());
        let (pool, handle) = driver::pool(PoolTerms::of(1, 0), host, metrics.clone());
        let stop = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(pool.run(stop.clone()));
        verify(library, handle.clone(), metrics.clone(), CancellationToken::new()).await;
        let mut quarantine = handle.quarantine();
        let out = quarantine.wait_for(|out| !out.is_empty()).await.expect("pool lives").clone();
        assert!(out.contains(&bad) && !out.contains(&good), "{out:?}");
        let text = metrics.text();
        assert!(text.contains("pe_worker_packs{state=\"bad\"} 1\n"), "{text}");
        assert!(text.contains("pe_worker_packs{state=\"verified\"} 1\n"), "{text}");
        stop.cancel();
        tasks.join_next().await.expect("it ran").expect("no panic").expect("stopped");
    }
}
