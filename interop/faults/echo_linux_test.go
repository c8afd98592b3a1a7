package faults_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// memory is what an echo process says of itself.
type memory struct {
	Conns      int64
	Bytes      int64 // of heap and stacks behind a collection
	Resident   int64
	Goroutines int
}

func (m memory) String() string {
	return fmt.Sprintf("%d connections, %d goroutines, %.1f MiB of heap and stacks, %.1f MiB resident",
		m.Conns, m.Goroutines, float64(m.Bytes)/(1<<20), float64(m.Resident)/(1<<20))
}

func measure(conns int64) memory {
	runtime.GC()
	runtime.GC() // empties pools
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	m := memory{Conns: conns, Bytes: int64(s.HeapAlloc + s.StackInuse), Goroutines: runtime.NumGoroutine()}
	b, _ := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(b)); len(fields) > 1 {
		pages, _ := strconv.ParseInt(fields[1], 10, 64)
		m.Resident = pages * int64(os.Getpagesize())
	}
	return m
}

// echoRole returns what it gets: echo ws|wss DESCRIPTORS. For every line of its
// input it prints its memory, and ends with it.
func echoRole(args []string) error {
	if err := limitDescriptors(args[1]); err != nil {
		return err
	}
	ln := newListener(args[0], 0)
	if err := ln.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	var conns atomic.Int64
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			running.Go(func() {
				defer conns.Add(-1)
				defer c.Close()
				buf := make([]byte, 256)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	fmt.Println("listening", ln.Addr())
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		b, _ := json.Marshal(measure(conns.Load()))
		fmt.Println("memory " + string(b))
	}
	ctx, cancel := contextFor(time.Second)
	defer cancel()
	ln.Shutdown(ctx)
	running.Wait()
	return nil
}

// limitDescriptors sets the soft limit of this process; "0" leaves it.
func limitDescriptors(s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	if n == 0 {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = n
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// memory asks an echo process.
func (p *process) memory(t testing.TB) (m memory) {
	t.Helper()
	_, err := io.WriteString(p.stdin, "\n")
	must(t, err)
	must(t, json.Unmarshal([]byte(p.line(t, "memory")), &m))
	return m
}

// end has an echo process end by itself, and checks that it leaves nothing.
func (p *process) end(t testing.TB) {
	t.Helper()
	p.outcomes(t)
}

// startEcho returns a process and the URL of its connections.
func startEcho(t testing.TB, scheme string, descriptors int) (*process, string) {
	t.Helper()
	p := start(t, "echo", scheme, strconv.Itoa(descriptors))
	return p, scheme + "://" + p.line(t, "listening") + "/"
}

// roundTrip sends a message and reads its echo.
func roundTrip(c io.ReadWriter, p []byte) error {
	if _, err := c.Write(p); err != nil {
		return err
	}
	got := make([]byte, len(p))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != string(p) {
		return fmt.Errorf("echo %q of %q", got, p)
	}
	return nil
}

// connect dials, within the limit, and has one message echoed.
func connect(d *walve.Dialer, at string, limit time.Duration) (*walve.Conn, error) {
	ctx, cancel := contextFor(limit)
	defer cancel()
	c, err := d.DialURL(ctx, at)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(limit))
	if err := roundTrip(c, []byte("hello")); err != nil {
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return c, nil
}
