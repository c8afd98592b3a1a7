package walve_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/testcert"
)

// checkEnd checks that err is a bare io.EOF or, for any other want, a
// *net.OpError around it.
func checkEnd(t testing.TB, what string, err, want error) {
	t.Helper()
	if want != io.EOF {
		checkOpError(t, what, err, want)
		if errors.Is(err, io.EOF) || err.(net.Error).Timeout() {
			t.Fatalf("%s: %v shows as io.EOF or as a timeout", what, err)
		}
	} else if err != io.EOF {
		t.Fatalf("%s: got %v, want a bare io.EOF", what, err)
	}
}

// checkSticky checks that every way to read gives want, again and again.
func checkSticky(t testing.TB, c *walve.Conn, want error) {
	t.Helper()
	for range 2 {
		for _, w := range ways {
			if w.size <= 256 {
				checkEnd(t, "then "+w.name, w.start(c).step(), want)
			}
		}
	}
	n, err := c.WriteTo(io.Discard)
	if want == io.EOF {
		if err != nil || n != 0 {
			t.Fatalf("then WriteTo: got %d, %v", n, err)
		}
		return
	}
	checkEnd(t, "then WriteTo", err, want)
}

// checkStatus checks what CloseStatus tells; no code means no Close frame.
func checkStatus(t testing.TB, c *walve.Conn, code walve.StatusCode, reason string) {
	t.Helper()
	if gotCode, gotReason, ok := c.CloseStatus(); gotCode != code || gotReason != reason || ok != (code != 0) {
		t.Fatalf("CloseStatus: got %d %q %v, want %d %q", gotCode, gotReason, ok, code, reason)
	}
}

// TestRule4CutAtEveryByte cuts the stream by FIN and by RST behind every byte of
// the exchange: only behind the Close frame is that an io.EOF.
func TestRule4CutAtEveryByte(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		s := exchange(!cfg.Client, false)
		for _, by := range []memconn.Cut{memconn.FIN, memconn.RST} {
			for k := range len(s.wire) + 1 {
				if sampled(len(s.wire) - k) {
					continue
				}
				c, _, peer := memConn(cfg)
				peer.Cut(int64(k), by)
				peer.Write(s.wire)
				r := w.start(c)
				err := r.drain()
				what := fmt.Sprintf("cut %v behind byte %d", by, k)
				want, code, reason := error(io.ErrUnexpectedEOF), walve.StatusCode(0), ""
				switch {
				case k == len(s.wire):
					want, code, reason = io.EOF, 1000, "bye"
				case by == memconn.RST:
					want = syscall.ECONNRESET
				}
				checkEnd(t, what, err, want)
				if d := diffUnits(r.units, s.seen(w.view, k)); d != "" {
					t.Fatalf("%s: %s", what, d)
				}
				if again := r.step(); again != err {
					t.Fatalf("%s: the next call gives %v after %v", what, again, err)
				}
				checkStatus(t, c, code, reason)
				if k%8 == 0 || k == len(s.wire) {
					checkSticky(t, c, want)
				}
				if err := c.Close(); err != nil {
					t.Fatalf("%s: Close gives %v", what, err)
				}
				checkOpError(t, "second Close", c.Close(), net.ErrClosed)
				checkEnd(t, "after Close", r.step(), net.ErrClosed)
				peer.Close()
			}
		}
	})
}

// TestRule4WaitingReadIsCut has the end come to a read that is blocked.
func TestRule4WaitingReadIsCut(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		s := exchange(!cfg.Client, false)
		for _, k := range []int{0, 1, s.heads[13] - 1, s.heads[13] + 1, s.ends[13], len(s.wire) - 1} {
			for by, want := range map[memconn.Cut]error{memconn.FIN: io.ErrUnexpectedEOF, memconn.RST: syscall.ECONNRESET} {
				c, _, peer := memConn(cfg)
				peer.Write(s.wire[:k])
				wait := background(w.start(c).drain)
				synctest.Wait()
				peer.Cut(0, by)
				checkEnd(t, fmt.Sprintf("cut %v behind byte %d", by, k), wait(), want)
				closeBoth(t, c, peer)
			}
		}
	})
}

// TestRule4CloseCodes closes with every kind of status, between messages, inside
// a fragmented one, and inside one of which all frames have been read.
func TestRule4CloseCodes(t *testing.T) {
	type status struct {
		code   walve.StatusCode
		reason string
	}
	statuses := []status{{1000, ""}, {1000, "done"}, {1001, ""}, {1001, "tab closed"}, {1002, ""}, {1003, ""},
		{1007, ""}, {1008, ""}, {1009, ""}, {1010, ""}, {1011, "\u00fcber"}, {1012, ""}, {1013, ""}, {1014, ""},
		{3000, ""}, {4999, strings.Repeat("r", 123)}, {walve.StatusNoStatusReceived, ""}}
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		for _, st := range statuses {
			end := closeFrame(st.code, st.reason)
			clean := st.code == 1000
			if st.code == walve.StatusNoStatusReceived {
				end.payload, clean = "", true
			}
			for _, open := range []bool{false, true} {
				s := newScript(!cfg.Client, scriptFrame{text, !open, "message"}, end)
				c, _, peer := memConn(cfg)
				checkStatus(t, c, 0, "")
				peer.Write(s.wire)
				r := w.start(c)
				err := r.drain()
				switch {
				case !clean:
					var ce *walve.CloseError
					if !errors.As(err, &ce) || ce.Code != st.code || ce.Reason != st.reason {
						t.Fatalf("%d: got %v, want a *CloseError", st.code, err)
					}
					checkEnd(t, "status", err, ce)
					checkSticky(t, c, ce)
				case open:
					checkEnd(t, "inside a message", err, io.ErrUnexpectedEOF)
					checkSticky(t, c, io.ErrUnexpectedEOF)
				default:
					checkEnd(t, "clean", err, io.EOF)
					checkSticky(t, c, io.EOF)
				}
				if d := diffUnits(r.units, s.seen(w.view, len(s.wire))); d != "" {
					t.Fatal(d)
				}
				checkStatus(t, c, st.code, st.reason)
				closeBoth(t, c, peer)
				checkStatus(t, c, st.code, st.reason)
			}
		}
	})
}

// TestRule4AfterOwnClose reads after Close, whatever the peer has done before.
func TestRule4AfterOwnClose(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		s := exchange(!cfg.Client, false)
		for _, k := range []int{0, 1, s.ends[1], len(s.wire)} {
			for _, read := range []bool{false, true} {
				c, _, peer := memConn(cfg)
				peer.Write(s.wire[:k])
				if read {
					c.SetReadDeadline(soon())
					ways[0].start(c).drain()
				}
				closeBoth(t, c, peer)
				checkSticky(t, c, net.ErrClosed)
			}
		}
	})
}

// TestRule4CloseStatusAfterOwnClose has the peer answer a Close that came first:
// the closing handshake in the background still learns the status.
func TestRule4CloseStatusAfterOwnClose(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		c, _, peer := memConn(cfg)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		checkStatus(t, c, 0, "")
		peer.Write(newScript(!cfg.Client, closeFrame(1001, "too")).wire)
		synctest.Wait()
		checkStatus(t, c, 1001, "too")
		peer.Close()
	})
}

// TestRule4TLSCutAtRecordBoundary runs crypto/tls on top and cuts the connection
// below, at the end of a record that is the end of a frame: crypto/tls takes an
// io.EOF there for a clean end, and an io.ErrUnexpectedEOF as well if it is bare.
func TestRule4TLSCutAtRecordBoundary(t *testing.T) {
	cert := testcert.Get()
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			own, peerConn := memconn.Pipe()
			c := walve.NewTestConn(own, cfg)
			peer := walve.NewTestConn(peerConn, walve.TestConfig{Client: !cfg.Client, HalfClose: cfg.HalfClose})
			client := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
			server := tls.Server(peer, &tls.Config{Certificates: []tls.Certificate{cert}})
			wait := background(func() error { _, err := server.Write([]byte("whole")); return err })
			got := make([]byte, 5)
			if _, err := io.ReadFull(client, got); err != nil || string(got) != "whole" {
				t.Fatalf("got %q, %v", got, err)
			}
			if err := wait(); err != nil {
				t.Fatal(err)
			}
			peerConn.Cut(0, memconn.FIN)
			for range 2 {
				if _, err := client.Read(got); err == nil || err == io.EOF || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("version %x: got %v, want io.ErrUnexpectedEOF inside another error", version, err)
				}
			}
			c.Close()
			peer.Close()
		}
	})
}
