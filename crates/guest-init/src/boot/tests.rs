use super::*;

/// Writes down what it is asked and fails where told.
#[derive(Default)]
struct Fake {
    calls: Vec<String>,
    failing: &'static str,
}

impl Fake {
    fn call(&mut self, call: String) -> io::Result<()> {
        let fails = !self.failing.is_empty() && call.contains(self.failing);
        self.calls.push(call);
        if fails { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }
}

impl Sys for Fake {
    fn make_dir(&mut self, path: &str) -> io::Result<()> {
        self.call(format!("make_dir {path}"))
    }
    fn mount(&mut self, kind: &str, target: &str, options: &str, _: Flags) -> io::Result<()> {
        self.call(format!("mount {kind} {target} {options}"))
    }
    fn bind_root(&mut self, via: &str) -> io::Result<()> {
        self.call(format!("bind_root {via}"))
    }
    fn read(&mut self, path: &str) -> io::Result<String> {
        self.call(format!("read {path}"))?;
        Ok("b.ko\n\na.ko\n".to_owned())
    }
    fn write(&mut self, path: &str, text: &str) -> io::Result<()> {
        self.call(format!("write {path} {text}"))
    }
    fn load_module(&mut self, path: &str) -> io::Result<()> {
        self.call(format!("load {path}"))
    }
}

fn position(fake: &Fake, call: &str) -> usize {
    fake.calls.iter().position(|made| made.starts_with(call)).unwrap()
}

#[test]
fn the_plan_moves_the_root_before_it_mounts_anything() {
    let mut fake = Fake::default();
    run(PLAN, &mut fake).unwrap();
    assert!(position(&fake, "bind_root") < position(&fake, "mount"));
}

#[test]
fn controllers_are_on_before_the_jobs_cgroup_is_made() {
    let mut fake = Fake::default();
    run(PLAN, &mut fake).unwrap();
    let controllers = position(&fake, "write /sys/fs/cgroup/cgroup.subtree_control +memory");
    assert!(position(&fake, "mount cgroup2") < controllers);
    assert!(controllers < position(&fake, "make_dir /sys/fs/cgroup/job"));
}

#[test]
fn modules_are_loaded_in_the_order_of_their_list_and_then_no_more() {
    let mut fake = Fake::default();
    run(PLAN, &mut fake).unwrap();
    let (b, a) = (position(&fake, "load /modules/b.ko"), position(&fake, "load /modules/a.ko"));
    assert!(b < a);
    assert!(a < position(&fake, "write /proc/sys/kernel/modules_disabled 1"));
}

#[test]
fn a_step_that_must_succeed_ends_the_boot_and_is_named() {
    let mut fake = Fake { failing: "mount sysfs", ..Fake::default() };
    let failed = run(PLAN, &mut fake).unwrap_err();
    assert_eq!(failed.step, Do::Mount("sysfs", "/sys", "", Flags::Inert));
    assert!(failed.to_string().contains("/sys"));
    assert_eq!(fake.calls.last().unwrap(), "mount sysfs /sys ");
}

#[test]
fn a_step_that_is_only_nice_is_passed_over() {
    let mut fake = Fake { failing: "kptr_restrict", ..Fake::default() };
    run(PLAN, &mut fake).unwrap();
    assert!(fake.calls.last().unwrap().starts_with("write"));
}
