#include <stdio.h>
#include <sys/utsname.h>

int main(void) {
    struct utsname host;
    uname(&host);
    printf("Hello from %s %s on %s, compiled by gcc %s\n", host.sysname, host.release,
           host.machine, __VERSION__);
    return 0;
}
