package walve_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/stream"
	"github.com/bodokaiser/walve/internal/testcert"
)

// tlsSockets is tcpSockets with TLS as walve and as a user's https server have
// it, one at each end.
func tlsSockets(walveIsClient bool) func(t testing.TB) (client, server net.Conn) {
	return func(t testing.TB) (net.Conn, net.Conn) {
		nc1, nc2 := tcpSockets(t)
		if walveIsClient {
			nc1 = stream.NewTransport(nc1)
		} else {
			nc2 = stream.NewTransport(nc2)
		}
		client := tls.Client(nc1, &tls.Config{InsecureSkipVerify: true})
		server := tls.Server(nc2, &tls.Config{Certificates: []tls.Certificate{testcert.Get()}})
		wait := background(client.Handshake)
		if err := errors.Join(server.Handshake(), wait()); err != nil {
			t.Fatal(err)
		}
		return client, server
	}
}

// TestRule2ShortDeadlinesOnEveryTransport sends bulk data with deadlines that
// pass all the time, wherever that may be, on both sides and in both directions.
func TestRule2ShortDeadlinesOnEveryTransport(t *testing.T) {
	checkLeaks(t)
	const total = 1 << 20
	for _, p := range append(rawPairs(), pairMaker{"tls client", tlsSockets(true)}, pairMaker{"tls server", tlsSockets(false)}) {
		t.Run(p.name, func(t *testing.T) {
			client, server := pairOver(t, p.make, true)
			var waits []func() error
			for i, ends := range [][2]*walve.Conn{{client, server}, {server, client}} {
				from, to := ends[0], ends[1]
				data := make([]byte, total)
				rand.NewChaCha8([32]byte{byte(i)}).Read(data)
				waits = append(waits,
					background(func() error { return writeShortly(from, data) }),
					background(func() error { return readShortly(to, data) }))
			}
			for _, wait := range waits {
				if err := wait(); err != nil {
					t.Error(err)
				}
			}
			if err := errors.Join(client.Close(), server.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A patience is how long calls may take that are to be cut now and then: longer
// while nothing comes of them, or a slow machine would never get anywhere.
type patience struct {
	*rand.Rand
	most int // microseconds
}

func newPatience(seed uint64) *patience { return &patience{rand.New(rand.NewPCG(seed, 0)), 100} }

// call makes a call whose deadline passes at once or soon. A timeout is no error.
func (p *patience) call(set func(time.Time) error, f func() (int, error)) (int, error) {
	if err := set(time.Now().Add(time.Duration(p.IntN(p.most)) * time.Microsecond)); err != nil {
		return 0, err
	}
	n, err := f()
	if p.most *= 2; n > 0 {
		p.most = 100
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() && errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

func writeShortly(c *walve.Conn, data []byte) error {
	patience := newPatience(1)
	for len(data) > 0 {
		p := data[:min(len(data), 1+patience.IntN(150_000))]
		n, err := patience.call(c.SetWriteDeadline, func() (int, error) { return c.Write(p) })
		if err != nil {
			return err
		}
		data = data[n:]
	}
	c.SetWriteDeadline(time.Time{})
	return c.CloseWrite()
}

func readShortly(c *walve.Conn, want []byte) error {
	patience := newPatience(2)
	buf := make([]byte, 70_000)
	for {
		p := buf[:1+patience.IntN(len(buf))]
		n, err := patience.call(c.SetReadDeadline, func() (int, error) { return c.Read(p) })
		if !bytes.Equal(p[:n], want[:min(n, len(want))]) {
			return errors.New("the streams differ")
		}
		want = want[n:]
		if err == io.EOF && len(want) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ownTimeouts is a net.Conn whose timeouts are not os.ErrDeadlineExceeded, as
// those of yamux are not.
type ownTimeouts struct{ net.Conn }

type ownTimeout struct{}

func (ownTimeout) Error() string   { return "i/o deadline reached" }
func (ownTimeout) Timeout() bool   { return true }
func (ownTimeout) Temporary() bool { return true }

func (c ownTimeouts) own(n int, err error) (int, error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ownTimeout{}
	}
	return n, err
}

func (c ownTimeouts) Read(p []byte) (int, error)  { return c.own(c.Conn.Read(p)) }
func (c ownTimeouts) Write(p []byte) (int, error) { return c.own(c.Conn.Write(p)) }

// TestRule2OwnTimeouts: they are timeouts all the same, and can be recovered
// from.
func TestRule2OwnTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, peer := memconn.Pipe()
		c := walve.NewTestConn(ownTimeouts{own}, walve.TestConfig{})
		c.SetDeadline(time.Now().Add(time.Second))
		b := make([]byte, 10)
		if n, err := c.Read(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %d, %v", n, err)
		}
		own.SetWriteLimit(3)
		c.SetDeadline(time.Now().Add(time.Second))
		if n, err := c.Write([]byte("hello")); n != 5 || err != nil { // the rest is kept
			t.Errorf("Write: %d, %v", n, err)
		}
		own.SetWriteLimit(-1)
		c.SetDeadline(time.Time{})
		peer.Write([]byte("\x82\x81\x00\x00\x00\x00x"))
		if n, err := c.Read(b); n != 1 || err != nil {
			t.Errorf("then Read: %d, %v", n, err)
		}
		if n, err := c.Write([]byte("world")); n != 5 || err != nil {
			t.Errorf("then Write: %d, %v", n, err)
		}
		const want = "\x82\x05hello\x82\x05world"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(peer, got); string(got) != want || err != nil {
			t.Errorf("on the wire: %q, %v", got, err)
		}
		peer.Close()
		c.Close()
	})
}
