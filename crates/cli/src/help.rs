//! What `--help` says below the options: examples, exit statuses.

pub(crate) const PE: &str = "\
Examples:
  pe images
  pe run --image gcc --file main.c -- sh -c 'gcc main.c -o /output/a.out && /output/a.out'
  pe run --image python -- python3 -c 'print(6 * 7)'

Every command has its own examples: pe run --help";

pub(crate) const RUN_SHORT: &str = "\
Examples:
  pe run --image gcc --file main.c -- sh -c 'gcc main.c -o /output/a.out && /output/a.out'
  echo hello | pe run --image busybox -i -- tr a-z A-Z

More examples, and what the exit statuses mean: pe run --help";

pub(crate) const RUN: &str = "\
Examples:
  Compile and run a C program, and keep what it makes:
    pe run --image gcc --file main.c --out made -- \\
      sh -c 'gcc main.c -o /output/a.out && /output/a.out'

  Send a whole directory as /input, and get object files back from beside the sources:
    pe run --image gcc --file project/. --output-pattern '**/*.o' --out made -- \\
      sh -c 'cd src && gcc -c *.c'

  Feed standard input:
    echo hello | pe run --image busybox -i -- tr a-z A-Z

  Send a file under another name, with an environment variable and more time:
    pe run --image python --file test.py=app/main.py --env LANG=C --wall 30s -- \\
      python3 app/main.py

  Let another program read the answer:
    pe run --image busybox --json -- uname -m

  Show an API key, which may have more time and a larger share than others:
    pe run --key-file ~/.config/pe.key --image busybox -- uname -m

In the machine:
  /input is the working directory, unless the image or --cwd says otherwise. Everything left in
  /output comes back. / and /tmp are writable, small, and thrown away. There is no network.

Exit status:
  0-255  the program's own, if it exited by itself
  128+N  the program was ended by signal N
  124    the time limit was reached
  137    it was out of memory (also 128+9)
  127    the command was not found in the image
  125    it did not run, or its result was lost or could not be kept; stderr says why
  130    you cancelled with Ctrl-C (also 128+2)
  2      there is a mistake in the arguments or input files; nothing was sent
  A program can exit with any of these itself. For all but an own exit, pe says why on stderr;
  with --json the field `outcome` tells them apart.";

pub(crate) const REPLAY: &str = "\
The job of the link is run again, whatever the server's cache knows, and compared with the result that is
stored: how it ended, what it printed, and the files that it made.

Examples:
  pe replay http://127.0.0.1:8080/s/RBNvo1WzZ4oRRq0W9-hknp
  pe replay 'http://127.0.0.1:8080/#s=q1YqU7IyrAUA'
  pe replay --server http://127.0.0.1:9080 https://pe.example.org/s/RBNvo1WzZ4oRRq0W9-hknp
  pe replay --server http://127.0.0.1:8080 state.json && echo reproduced

Exit status: 0 if nothing differs, 1 if something does, 125 if it did not run or no result is stored, 2 for
a mistake in the arguments or a link that is none.";

pub(crate) const IMAGES: &str = "\
Examples:
  pe images
  pe images --json
  PE_SERVER=http://127.0.0.1:9000 pe images

Exit status: 0, or 125 if the server could not be asked, or 2 for a mistake in the arguments.";

pub(crate) const WAIT_READY: &str = "\
Examples:
  pe wait-ready
  pe wait-ready --timeout 5m && pe run --image busybox -- echo hello

Exit status: 0 when ready, 1 when the time is over, 2 for a mistake in the arguments.";

pub(crate) const VERSION: &str = "\
Examples:
  pe version
  pe --version";

pub(crate) const ADMIN: &str = "\
Examples:
  pe admin status
  pe admin workers --json
  pe admin drain attic
  pe admin --admin unix:/run/pe-lb-admin.sock reload
  PE_ADMIN=http://lb.example:8082 pe admin queue --token-file admin.token

Exit status: 0, or 125 if the load balancer could not be asked or said no, or 2 for a mistake in the
arguments.";

pub(crate) const ADMIN_STATUS: &str = "\
Examples:
  pe admin status
  pe admin status --json | jq .counts";

pub(crate) const ADMIN_WORKERS: &str = "\
Examples:
  pe admin workers
  pe admin workers --json | jq -r '.workers[] | select(.is_quarantined) | .name'";

pub(crate) const ADMIN_QUEUE: &str = "\
Examples:
  pe admin queue";

pub(crate) const ADMIN_LEASES: &str = "\
Examples:
  pe admin leases";

pub(crate) const ADMIN_FLIGHTS: &str = "\
Examples:
  pe admin flights";

pub(crate) const ADMIN_BANS: &str = "\
Examples:
  pe admin bans";

pub(crate) const ADMIN_DRAIN: &str = "\
Jobs that run are finished. A worker that is drained stays connected and gets no more; the load
balancer ends.

Examples:
  pe admin drain attic
  pe admin drain attic --undo
  pe admin drain --lb";

pub(crate) const ADMIN_QUARANTINE: &str = "\
A worker in quarantine gets no jobs until the quarantine is taken back, also when it comes again.

Examples:
  pe admin quarantine attic
  pe admin quarantine attic --undo";

pub(crate) const ADMIN_PURGE: &str = "\
Every form of the result is forgotten, on disk, too. A CDN in front has copies of its own.

Examples:
  pe admin purge a52077f9b1a64962f918b47438104a63e59f0b8dcfcc0b23106fde54e6e5aa8b";

pub(crate) const ADMIN_BAN: &str = "\
Examples:
  pe admin ban 192.0.2.17 --for 2h --reason 'mines coins'
  pe admin ban 2001:db8::/48
  pe admin ban key:attic-docs --for 24h";

pub(crate) const ADMIN_UNBAN: &str = "\
Examples:
  pe admin unban 192.0.2.17";

pub(crate) const ADMIN_RELOAD: &str = "\
The settings are read and checked as a whole; if anything is wrong, nothing changes. Settings that
changed and need a restart are named.

Examples:
  pe admin reload";

pub(crate) const IMAGE: &str = "\
Examples:
  pe image import docker://gcc:14
  pe image inspect docker://ghcr.io/someone/image:1
  pe image list

Every command has its own examples: pe image import --help";

pub(crate) const IMAGE_IMPORT: &str = "\
A registry is asked only if it is on the list: docker.io, ghcr.io, quay.io, gcr.io, public.ecr.aws,
mcr.microsoft.com, registry.k8s.io and registry.gitlab.com, unless --registries replaces it. A file of
registries is TOML:
    [[registry]]
    host = \"registry.example:5000\"
    realms = [\"auth.example\"]     # where else its tokens come from
    storage = [\"minio.lan:9000\"]  # where its blobs are, if not on the public network
    http = false                  # true: without TLS
    private = true                # it may be at a loopback or private address
    ca = \"/etc/ssl/own-ca.pem\"    # whom to believe in place of the system's authorities

Examples:
  A public image, under its own name:
    pe image import docker://gcc:14

  What `docker save` or `podman save` wrote, under another name:
    docker save python:3.13-slim -o python.tar
    pe image import ./python.tar --name python:3.13

  A layout that buildah, umoci or skopeo made:
    pe image import oci:build/layout:latest --name mine:1

  From a registry on this machine, into a directory of one's own:
    pe image import docker://localhost:5000/mine:1 --local-registry localhost:5000 --into images

Exit status: 0, or 125 if there is no pack, or 2 for a mistake in the arguments.";

pub(crate) const IMAGE_REFRESH: &str = "\
Only images that were imported from a tag of a registry are asked for. One that cannot be asked stays as
it is; after a week of that the command fails, so that somebody looks. It fails too for one that may not be
asked for, or that moved and cannot be imported; the others are looked at all the same.

Examples:
  pe image refresh
  pe image refresh --max-age 1h --into images

Exit status: 0, or 125 if an image stayed as it was for one of these reasons.";

pub(crate) const IMAGE_LIST: &str = "\
Examples:
  pe image list
  pe image list --into images --json | jq -r '.images[].image.name'";

pub(crate) const IMAGE_PACK: &str = "\
Files that are equal in several images of a pack are in it once. Versions
that are named after those of a pack that is there are added to it: the layers of the others are not
read again, and workers that have that pack fetch only what is new.

Examples:
  pe image pack gcc:13=docker://gcc:13 gcc:14=docker://gcc:14
  pe image pack gcc:13=docker://gcc:13 gcc:14=docker://gcc:14 gcc:15=docker://gcc:15";

pub(crate) const IMAGE_RM: &str = "\
Examples:
  pe image rm gcc:13
  pe image rm gcc --unused-packs
  pe image rm --unused-packs";

pub(crate) const IMAGE_INSPECT: &str = "\
Examples:
  pe image inspect docker://gcc:14
  pe image inspect ./python.tar --arch aarch64
  pe image inspect oci:layout:latest --json | jq .labels";

pub(crate) const IMAGE_LINT: &str = "\
What labels there are, and what they mean, is in docs/image-labels.md.

Examples:
  pe image lint oci:layout:latest
  pe image lint docker://ghcr.io/someone/image:1 --json
  pe image lint labels.toml --strict
  pe image lint labels.toml --as-labels

Exit status: 0 if all is well, 1 if not, or 125 if the image cannot be read, or 2 for a mistake in the
arguments.";
