package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	_ "github.com/bodokaiser/walve/enable"
)

// What many Conns over one HTTP/2 connection cost beside a connection for each,
// wss both times: to open them, to hold them, and to send much on one, also over
// a link of 1 Gbit/s with 20 ms of delay. With a server process of its own:
//
//	go test -run - -bench HTTP2 .

const (
	http2Conns  = 1000
	linkDelay   = 10 * time.Millisecond // each way
	linkRate    = 125 << 20             // bytes per second: about 1 Gbit/s
	http2Server = "WALVE_BENCH_HTTP2_SERVER"
)

func init() {
	if os.Getenv(http2Server) != "" {
		if err := serveHTTP2Bench(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// serveHTTP2Bench is the server. What a path asks for it does with its Conns;
// for each line that it reads it says what it holds.
func serveHTTP2Bench() error {
	cert, err := newCertificate()
	if err != nil {
		return err
	}
	config, err := cert.server()
	if err != nil {
		return err
	}
	ln := &walve.Listener{Backlog: http2Conns, TLSConfig: config, Upgrader: walve.Upgrader{KeepAlive: -1}}
	if err := ln.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go func() {
		p := make([]byte, 64<<10)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			switch c.(*walve.Conn).Request().URL.Path {
			case "/download":
				go func() {
					for err := error(nil); err == nil; {
						_, err = c.Write(p)
					}
					c.Close()
				}()
			case "/upload":
				go func() { io.Copy(io.Discard, c); c.Close() }()
			case "/echo":
				go func() { io.Copy(c, c); c.Close() }()
			} // else it is idle, and the client closes it
		}
	}()
	fmt.Println(ln.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(heldNow())
	}
	return nil
}

// heldNow returns the bytes of heap and stacks that are in use.
func heldNow() int64 {
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// An http2Bench is the client and its server process.
type http2Bench struct {
	addr  string
	stdin io.Writer
	lines *bufio.Scanner
}

func startHTTP2(b *testing.B) *http2Bench {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), http2Server+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stdin.Close(); cmd.Wait() })
	s := &http2Bench{stdin: stdin, lines: bufio.NewScanner(stdout)}
	s.addr = s.line(b)
	return s
}

func (s *http2Bench) line(b *testing.B) string {
	b.Helper()
	if !s.lines.Scan() {
		b.Fatal("the server has ended: ", s.lines.Err())
	}
	return s.lines.Text()
}

func (s *http2Bench) held(b *testing.B) (bytes int64) {
	b.Helper()
	io.WriteString(s.stdin, "\n")
	fmt.Sscan(s.line(b), &bytes)
	return bytes
}

// dialer returns a Dialer for the protocol, wss or h2, to addr.
func (s *http2Bench) dialer(protocol, addr string) *walve.Dialer {
	d := &walve.Dialer{
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, KeepAlive: -1, HTTP2: walve.HTTP2Never,
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
	}
	if protocol == "h2" {
		d.HTTP2 = walve.HTTP2Always
	}
	return d
}

func (s *http2Bench) open(b *testing.B, d *walve.Dialer, path string) *walve.Conn {
	b.Helper()
	c, err := d.DialURL(b.Context(), "wss://"+s.addr+path)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// openAll opens Conns, 64 at a time.
func (s *http2Bench) openAll(b *testing.B, d *walve.Dialer) []*walve.Conn {
	b.Helper()
	conns := make([]*walve.Conn, http2Conns)
	var wg sync.WaitGroup
	const dials = 64
	for first := range dials {
		wg.Go(func() {
			for i := first; i < len(conns); i += dials {
				c, err := d.DialURL(b.Context(), "wss://"+s.addr+"/idle")
				if err != nil {
					b.Error(err)
					return
				}
				conns[i] = c
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return conns
}

func closeAll(conns []*walve.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

func eachProtocol(b *testing.B, f func(b *testing.B, protocol string)) {
	for _, protocol := range []string{"wss", "h2"} {
		b.Run(protocol, func(b *testing.B) { f(b, protocol) })
	}
}

// BenchmarkHTTP2Open opens a thousand Conns.
func BenchmarkHTTP2Open(b *testing.B) {
	eachProtocol(b, func(b *testing.B, protocol string) {
		s := startHTTP2(b)
		for b.Loop() {
			conns := s.openAll(b, s.dialer(protocol, s.addr))
			b.StopTimer()
			closeAll(conns)
			b.StartTimer()
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/1000conns")
	})
}

// BenchmarkHTTP2Idle is what each of a thousand idle Conns holds, heap and
// stacks; goroutines of the users, who would read, are not there.
func BenchmarkHTTP2Idle(b *testing.B) {
	eachProtocol(b, func(b *testing.B, protocol string) {
		s := startHTTP2(b)
		d := s.dialer(protocol, s.addr)
		first := s.open(b, d, "/idle") // the connection is there
		client, server := heldNow(), s.held(b)
		conns := s.openAll(b, d)
		for b.Loop() {
			b.ReportMetric(float64(heldNow()-client)/http2Conns, "client-B/conn")
			b.ReportMetric(float64(s.held(b)-server)/http2Conns, "server-B/conn")
		}
		closeAll(conns)
		first.Close()
	})
}

// BenchmarkHTTP2Bulk sends in Writes of 64 KiB on one Conn.
func BenchmarkHTTP2Bulk(b *testing.B) {
	for _, link := range []struct {
		name  string
		delay time.Duration
	}{{"direct", 0}, {"20ms", linkDelay}} {
		for _, direction := range []string{"download", "upload"} {
			b.Run(link.name+"/"+direction, func(b *testing.B) {
				eachProtocol(b, func(b *testing.B, protocol string) {
					s := startHTTP2(b)
					addr := s.addr
					if link.delay > 0 {
						addr = delayed(b, addr, link.delay)
					}
					c := s.open(b, s.dialer(protocol, addr), "/"+direction)
					defer c.Close()
					p := make([]byte, 64<<10)
					step := func() {
						var err error
						for range 64 { // 4 MiB
							if direction == "upload" {
								_, err = c.Write(p)
							} else {
								_, err = io.ReadFull(c, p)
							}
							if err != nil {
								b.Fatal(err)
							}
						}
					}
					for range 16 { // until windows have grown
						step()
					}
					b.SetBytes(64 * int64(len(p)))
					for b.Loop() {
						step()
					}
				})
			})
		}
	}
}

// delayed returns the address of a link to addr, with as much delay each way,
// linkRate and no loss.
func delayed(b *testing.B, addr string, delay time.Duration) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", addr)
			if err != nil {
				near.Close()
				return
			}
			go delayOneWay(near, far, delay)
			go delayOneWay(far, near, delay)
		}
	}()
	return ln.Addr().String()
}

// delayOneWay is one direction of it.
func delayOneWay(from, to net.Conn, delay time.Duration) {
	type piece struct {
		p   []byte
		due time.Time
	}
	line := make(chan piece, 100) // what is on its way, and as much again
	go func() {
		defer to.Close()
		for x := range line {
			time.Sleep(time.Until(x.due))
			if _, err := to.Write(x.p); err != nil {
				break
			}
		}
		for range line {
		}
	}()
	defer close(line)
	var sent time.Time // when the link is free again
	for {
		p := make([]byte, 64<<10)
		n, err := from.Read(p)
		if n > 0 {
			if now := time.Now(); sent.Before(now) {
				sent = now
			}
			sent = sent.Add(time.Duration(n) * time.Second / linkRate)
			line <- piece{p[:n], sent.Add(delay)}
		}
		if err != nil {
			return
		}
	}
}
