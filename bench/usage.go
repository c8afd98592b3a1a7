//go:build unix

package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a process has used since it began, and what it holds.
type Usage struct {
	User    time.Duration `json:"user"`
	System  time.Duration `json:"system"`
	Mallocs uint64        `json:"mallocs"`
	Heap    uint64        `json:"heap"`  // bytes of objects; live ones if settled
	Stack   uint64        `json:"stack"` // bytes of goroutines' stacks
	RSS     uint64        `json:"rss"`   // bytes; 0: unknown
}

// CPU is the processor time.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// readUsage asks the system and the runtime. settle collects garbage first,
// so that what is left is held, and gives free memory back.
func readUsage(settle bool) (Usage, error) {
	if settle {
		runtime.GC() // a sync.Pool keeps what it has for two
		debug.FreeOSMemory()
	}
	var u Usage
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Mallocs, u.Heap, u.Stack = m.Mallocs, m.HeapAlloc, m.StackInuse
	if settle {
		u.RSS = residentSize()
	}
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return u, os.NewSyscallError("getrusage", err)
	}
	u.User = time.Duration(r.Utime.Nano())
	u.System = time.Duration(r.Stime.Nano())
	return u, nil
}

// residentSize is this process's RSS, where the system has a /proc as Linux.
func residentSize() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// reuseAddress lets later servers listen on the ports of the many connections
// that handshakes leave in TIME_WAIT.
func reuseAddress(network, address string, c syscall.RawConn) (err error) {
	cerr := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	})
	return errors.Join(cerr, err)
}

// needFiles returns an error if the process may not have n files open. Go has
// raised the soft limit to the hard one already.
func needFiles(n int) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if l.Cur < uint64(n) {
		return &limitError{need: n, have: l.Cur}
	}
	return nil
}

type limitError struct {
	need int
	have uint64
}

func (e *limitError) Error() string {
	return "this needs " + strconv.Itoa(e.need) + " open files, the limit is " + strconv.FormatUint(e.have, 10) +
		" (ulimit -Hn)"
}

// since returns what was used, and is held in addition, after before.
func (u Usage) since(before Usage) Usage {
	u.User -= before.User
	u.System -= before.System
	u.Mallocs -= before.Mallocs
	u.Heap = atLeast0(u.Heap, before.Heap)
	u.Stack = atLeast0(u.Stack, before.Stack)
	u.RSS = atLeast0(u.RSS, before.RSS)
	return u
}

// atLeast0 is a-b: a process can also hold less than before.
func atLeast0(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}
