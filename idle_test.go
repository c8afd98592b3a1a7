package walve_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
)

// idleClientsEnv makes the test binary the process of the clients that
// TestIdleMemory holds: what they cost is none of the server's.
const idleClientsEnv = "WALVE_TEST_IDLE_CLIENTS"

// idleClients connects as s says, tells on stdout when it is done and holds the
// connections until stdin ends.
func idleClients(s string) int {
	var addr, request string
	var n int
	fmt.Sscan(s, &addr, &n, &request)
	conns := make([]net.Conn, n)
	var dials sync.WaitGroup
	const workers = 8
	for w := range workers {
		dials.Go(func() {
			for i := w; i < n; i += workers {
				c, err := idleClient(addr, request)
				if err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				conns[i] = c
			}
		})
	}
	dials.Wait()
	fmt.Println("connected")
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(conns)
	return 0
}

func idleClient(addr, request string) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.(*net.TCPConn).SetLinger(0) // leaves no TIME_WAIT behind
	if request == "upgrade" {
		if _, err := io.WriteString(c, upgradeRequest()); err != nil {
			return nil, err
		}
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// TestIdleMemory: an idle server Conn, with KeepAlive at its default and one
// goroutine in Read, costs at most 1.4 times a raw net.TCPConn with the same.
func TestIdleMemory(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("10,000 connections, and their exact memory")
	}
	const n, limit = 10000, 1.4
	// The runtime keeps what it has once needed per goroutine: let that not be
	// charged to whoever is measured first.
	var begun, held sync.WaitGroup
	held.Add(1)
	for range n {
		begun.Add(1)
		go func() { begun.Done(); held.Wait() }()
	}
	begun.Wait()
	held.Done()
	raw := idleCost(t, n, "none", func(ln net.Listener, idle func(net.Conn)) func() {
		go acceptAll(ln, idle)
		return func() { ln.Close() }
	})
	upgraded := idleCost(t, n, "upgrade", func(ln net.Listener, idle func(net.Conn)) func() {
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := walve.Upgrade(w, r)
			if err != nil {
				t.Error(err)
				return
			}
			idle(c)
		})}
		go srv.Serve(ln)
		return func() { srv.Close() }
	})
	accepted := idleCost(t, n, "upgrade", func(ln net.Listener, idle func(net.Conn)) func() {
		l := walve.NewListener(ln)
		go acceptAll(l, idle)
		return func() { l.Close() }
	})
	t.Logf("bytes per idle connection: %.0f raw, %.0f by Upgrade (%.2f), %.0f by a Listener (%.2f)", raw, upgraded, upgraded/raw, accepted, accepted/raw)
	if upgraded > limit*raw {
		t.Errorf("an idle Conn costs %.2f times a net.TCPConn, want at most %v", upgraded/raw, limit)
	}
}

func acceptAll(ln net.Listener, idle func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		idle(c)
	}
}

// idleCost returns the bytes of heap and stacks that each of n connections
// costs which serve hands to idle. The clients make the request that is asked.
func idleCost(t *testing.T, n int, request string, serve func(ln net.Listener, idle func(net.Conn)) (stop func())) float64 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", idleClientsEnv, ln.Addr(), n, request))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	conns := make([]net.Conn, 0, n)
	var readers sync.WaitGroup
	goroutines := runtime.NumGoroutine()
	before := memoryInUse()

	stop := serve(ln, func(c net.Conn) {
		mu.Lock()
		conns = append(conns, c)
		mu.Unlock()
		readers.Go(func() {
			var b [64]byte
			c.Read(b[:])
		})
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if strings.Contains(line, syscall.EMFILE.Error()) {
		stop()
		t.Skip(line)
	}
	if line != "connected\n" {
		t.Errorf("clients: %q, %v", line, err)
	}
	// The servers' goroutines of the handshakes end; the last readers begin.
	settled := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(conns) == n && runtime.NumGoroutine() <= goroutines+n+10
	}
	for i := 0; !settled() && i < 1000 && !t.Failed(); i++ {
		time.Sleep(10 * time.Millisecond) // polls
	}
	if !t.Failed() && !settled() {
		t.Errorf("%d connections and %d goroutines", len(conns), runtime.NumGoroutine())
	}
	cost := float64(memoryInUse()-before) / float64(n)
	stop()
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, c := range conns {
		c.Close()
	}
	readers.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return cost
}

// memoryInUse returns the bytes of live heap objects and of stacks.
func memoryInUse() uint64 {
	var m runtime.MemStats
	for range 3 { // stacks shrink, and sync.Pools empty, by and by
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
