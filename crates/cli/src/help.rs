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
