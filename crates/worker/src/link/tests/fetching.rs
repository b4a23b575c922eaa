//! What a worker that fetches says on the link, and hears.

use pe_proto::link::{Fetching, Wanted};

use super::*;
use crate::fetch::Report;

const NONE: Digest = Digest([0; 32]);

async fn fetching() -> (Rig, Desk) {
    let desk = Desk::default();
    let (lb, host) = (Lb::listen().await, FakeHost::polite());
    (rig_at(lb, 1, host, 4096, |driver| driver, Some(desk.clone())), desk)
}

#[tokio::test]
async fn a_worker_tells_what_it_could_fetch_and_how_far_it_is() {
    locally(async {
        let (mut rig, desk) = fetching().await;
        let image = Digest([7; 32]);
        desk.report(Report { able: vec![image], under_way: Vec::new() });
        let mut session = rig.lb.session().await;
        let told = session.fetches().await;
        assert_eq!((told.session, told.able), (session.id(), vec![image]));
        let under_way = vec![Fetching { image, bytes: 1, bytes_total: 2 }];
        desk.report(Report { able: vec![image], under_way: under_way.clone() });
        assert_eq!(session.fetches().await.under_way, under_way);
        // The next connection is told anew: what was said ended with the last one.
        session.cut();
        let mut session = rig.lb.session().await;
        assert_eq!(session.fetches().await.under_way, under_way);
    })
    .await;
}

#[tokio::test]
async fn a_worker_asks_again_and_again_what_is_wanted() {
    locally(async {
        let (mut rig, desk) = fetching().await;
        let mut session = rig.lb.session().await;
        let wanted = Wanted { catalogue: Digest([5; 32]), images: vec![Digest([7; 32])] };
        let first = session.wants(Some(&wanted)).await;
        assert_eq!((first.catalogue, first.known), (NONE, vec![]));
        let mut heard = desk.wanted();
        let heard = heard.wait_for(|heard| *heard == wanted).await.is_ok();
        assert!(heard);
        let second = session.wants(None).await;
        assert_eq!((second.catalogue, second.known), (wanted.catalogue, wanted.images.clone()));
        let third = session.wants(None).await;
        assert_eq!(third.known, wanted.images, "nothing new changes nothing");
    })
    .await;
}

#[tokio::test]
async fn an_image_that_comes_is_told_of_and_one_that_is_to_go_is_withdrawn() {
    locally(async {
        let (mut rig, _desk) = fetching().await;
        let mut session = rig.lb.session().await;
        let image = spec().image;
        assert_eq!(session.hello.images, [image]);
        rig.library.withhold(&[image], true);
        assert_eq!(session.state().await.images, []);
        rig.library.untold(&[image]).await;
        rig.library.withhold(&[image], false);
        assert_eq!(session.state().await.images, [image]);
        while !rig.library.is_told(&[image]) {
            tokio::task::yield_now().await;
        }
        session.cut();
        rig.library.untold(&[image]).await;
    })
    .await;
}
