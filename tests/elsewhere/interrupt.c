/* interrupt FILE COMMAND…: starts the command, sends Ctrl-C to this console as soon as there is such a file, and ends
   with the command's code. */
#include <stdio.h>
#include <wchar.h>
#include <windows.h>

static BOOL WINAPI stay(DWORD event) { return event == CTRL_C_EVENT; }

int wmain(int count, wchar_t **words) {
    static wchar_t line[32768];
    for (int i = 2; i < count; i++) {
        wcscat(line, L"\"");
        wcscat(line, words[i]);
        wcscat(line, L"\" ");
    }
    SetConsoleCtrlHandler(stay, TRUE); /* not NULL, which the command would inherit */
    STARTUPINFOW start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
    start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    start.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION child;
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &child)) {
        fprintf(stderr, "it does not start: %lu\n", GetLastError());
        return 99;
    }
    while (GetFileAttributesW(words[1]) == INVALID_FILE_ATTRIBUTES) Sleep(10);
    if (!GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)) fprintf(stderr, "no Ctrl-C: %lu\n", GetLastError());
    WaitForSingleObject(child.hProcess, INFINITE);
    DWORD code = 98;
    GetExitCodeProcess(child.hProcess, &code);
    return code;
}
