/* The random numbers of Windows, for Wine 8, which does not have this library: beside the program. */
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *to, unsigned long length);

__declspec(dllexport) int __stdcall ProcessPrng(void *to, unsigned long long length)
{
    return SystemFunction036(to, (unsigned long)length);
}
