/* What Wine's libraries lack of Windows' own. */

#ifdef LIBRARY
/* bcryptprimitives.dll, with which Rust draws random numbers; Wine has it since version 9. */
unsigned char SystemFunction036(void *, unsigned long);
__declspec(dllexport) int ProcessPrng(void *to, unsigned long long count) { return SystemFunction036(to, count); }

#else
/* Linked in place of the C library's `signal`: SIG_GET only asks which handler there is, and Wine makes it one. */
#include <signal.h>
#include <windows.h>

typedef void (*handler)(int);

handler signal(int number, handler new) {
    static handler now[NSIG];
    handler (*real)(int, handler) = (void *)GetProcAddress(GetModuleHandleA("msvcrt"), "signal");
    handler old = now[number];
    if (new == SIG_GET || real(number, new) == SIG_ERR) return new == SIG_GET ? old : SIG_ERR;
    now[number] = new;
    return old;
}
#endif
