package walve_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/testcert"
)

// shortConn takes a byte less than it is given, and has no error for it.
type shortConn struct{ *memconn.Conn }

func (c shortConn) Write(p []byte) (int, error) { return c.Conn.Write(p[:len(p)-1]) }

// TestShortWrite: a connection that breaks the rules of io.Writer leaves a frame
// without an end. Nothing can be written after it.
func TestShortWrite(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		own, peer := memconn.Pipe()
		c := walve.NewTestConn(shortConn{own}, cfg)
		n, err := c.Write([]byte("short"))
		checkOpError(t, "Write", err, io.ErrShortWrite)
		if n != 0 {
			t.Errorf("Write = %d, want a frame that has no end not to count", n)
		}
		checkWriteFailed(t, c, io.ErrShortWrite)
		peer.Close()
		c.Close()
	})
}

// TestReadErrorWithData: a connection may return its error together with the
// last bytes, and what these say comes first.
func TestReadErrorWithData(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	bothRoles(t, func(t *testing.T, client bool) {
		for _, tt := range []struct {
			frames []any
			data   string
			want   error
		}{
			{[]any{fin | bin, "data", fin | cls, "\x03\xe8"}, "data", io.EOF},
			{[]any{fin | bin, "data"}, "data", syscall.ECONNRESET},
			{[]any{fin | cls, "\x03\xe8"}, "", io.EOF},
		} {
			for _, size := range []int{1, 4 << 10} {
				wire := sends(tt.frames...)(!client)
				nc := &recordedConn{in: iotest.DataErrReader(io.MultiReader(strings.NewReader(string(wire)), iotest.ErrReader(reset)))}
				c := walve.NewTestConn(nc, walve.TestConfig{Client: client})
				got, err := readToError(c, size)
				if string(got) != tt.data || !errors.Is(err, tt.want) {
					t.Errorf("buffer of %d: %q, %v, want %v", size, got, err, tt.want)
				}
				c.Close()
			}
		}
	})
}

// TestRule4CloseNotifyBehindData: a peer whose last frames and TLS's own end come
// in at once. crypto/tls returns io.EOF together with the data then, in TLS 1.2.
func TestRule4CloseNotifyBehindData(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		for _, clean := range []bool{true, false} {
			own, peer := memconn.Pipe()
			a := tls.Client(own, &tls.Config{InsecureSkipVerify: true})
			b := tls.Server(peer, &tls.Config{Certificates: []tls.Certificate{testcert.Get()}, MaxVersion: tls.VersionTLS12})
			wait := background(a.Handshake)
			if err := errors.Join(b.Handshake(), wait()); err != nil {
				t.Fatal(err)
			}
			c := walve.NewTestConn(a, cfg)
			s := exchange(!cfg.Client, false)
			wire, want := s.wire, io.EOF
			if !clean {
				wire, want = wire[:s.begin(len(s.frames)-1)], io.ErrUnexpectedEOF
			}
			peer.Stall()
			if _, err := b.Write(wire); err != nil {
				t.Fatal(err)
			}
			b.CloseWrite()
			peer.Resume()
			r := w.start(c)
			if err := r.drain(); !errors.Is(err, want) {
				t.Errorf("clean=%v: ended with %v, want %v", clean, err, want)
			}
			if d := diffUnits(r.units, s.seen(w.view, len(wire))); d != "" {
				t.Errorf("clean=%v: %s", clean, d)
			}
			peer.Close()
			c.Close()
		}
	})
}

// TestRule5CloseWithoutDeadlines: on a connection that knows no deadline, as
// those of x/crypto/ssh, Close returns after a second though a Read and a Write
// hang in there, and what it does in the background ends them.
func TestRule5CloseWithoutDeadlines(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		own, peer := memconn.Pipe()
		c := walve.NewTestConn(noDeadlines{own}, cfg)
		own.SetWriteLimit(3)
		read := begin(func() (int, error) { return c.Read(make([]byte, 1)) })
		write := begin(func() (int, error) { return c.Write([]byte("blocked")) })
		synctest.Wait()
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("Close took %v", d)
		}
		for name, r := range map[string]<-chan opResult{"Read": read, "Write": write} {
			checkOpError(t, name, (<-r).err, net.ErrClosed)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("it took %v to end them", d)
		}
		synctest.Wait()
		if isOpen(own) {
			t.Error("the connection is still open")
		}
		peer.Close()
	})
}

// TestBufferedBehindHandshake: more than a buffer of what came behind the
// handshake is read, in every way.
func TestBufferedBehindHandshake(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg walve.TestConfig, w way) {
		s := exchange(!cfg.Client, true)
		cfg.Buffered = s.wire
		c, _, peer := memConn(cfg)
		r := w.start(c)
		if err := r.drain(); err != io.EOF {
			t.Errorf("ended with %v", err)
		}
		if d := diffUnits(r.units, s.seen(w.view, len(s.wire))); d != "" {
			t.Error(d)
		}
		closeBoth(t, c, peer)
	})
}

// TestWriteToFails: WriteTo ends with what the writer does wrong, and with a
// deadline while it waits, compressed or not.
func TestWriteToFails(t *testing.T) {
	for _, agreed := range []*walve.Deflate{nil, {SendBits: 15, ReceiveBits: 15}} {
		everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
			cfg.Deflate = agreed
			c, p := newWirePeer(t, cfg)
			p.send(fin|bin, "data")
			to, _ := memconn.Pipe()
			if n, err := c.WriteTo(shortConn{to}); n != 3 || err != io.ErrShortWrite {
				t.Errorf("WriteTo = %d, %v", n, err)
			}
			c.SetReadDeadline(soon())
			n, err := c.WriteTo(io.Discard)
			checkTimeout(t, "WriteTo", err)
			if n != 0 {
				t.Errorf("WriteTo = %d", n)
			}
			p.Close()
			c.Close()
		})
	}
}
