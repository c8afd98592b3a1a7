package walve_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/bodokaiser/walve"
)

// TestAllocsReadWrite: no allocation per Read and Write of 1 KiB on TCP, in
// both roles, whatever the buffer that is read into.
func TestAllocsReadWrite(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	nc1, nc2 := tcpSockets(t)
	ends := map[net.Conn]*walve.Conn{}
	for _, nc := range []net.Conn{nc1, nc2} {
		ends[nc] = walve.NewTestConn(nc, walve.TestConfig{Client: nc == nc1, HalfClose: true, KeepAlive: interval})
		defer ends[nc].Close()
	}
	message := randomBytes(1 << 10)
	for _, size := range []int{64, 1 << 10, 64 << 10} {
		p := make([]byte, size)
		for role, c := range map[string][2]*walve.Conn{"client": {ends[nc1], ends[nc2]}, "server": {ends[nc2], ends[nc1]}} {
			allocs := testing.AllocsPerRun(500, func() {
				if n, err := c[0].Write(message); n != len(message) || err != nil {
					t.Fatal(n, err)
				}
				for n := 0; n < len(message); {
					m, err := c[1].Read(p)
					if err != nil {
						t.Fatal(err)
					}
					n += m
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations per Write of the %s and Reads of %d bytes of its peer", allocs, role, size)
			}
		}
	}
}

// TestRule10AllocsNothingByDeclaredLength: a header costs no memory,
// whatever length it declares and whatever reads.
func TestRule10AllocsNothingByDeclaredLength(t *testing.T) {
	const most = 512 << 10 // buffers of the tests and of pools
	methods := append([]readMethod{}, readMethods...)
	methods = append(methods, readMethod{"skipped by NextReader", func(c *walve.Conn) ([]byte, error) {
		for {
			if _, _, err := c.NextReader(); err != nil {
				return nil, err
			}
		}
	}}, readMethod{"skipped by NextMessage", func(c *walve.Conn) ([]byte, error) {
		for {
			if _, _, err := c.NextMessage(); err != nil {
				return nil, err
			}
		}
	}})
	for _, declared := range []int64{1 << 30, math.MaxInt64} {
		for _, b0 := range []walve.Opcode{fin | bin, text} {
			for _, m := range methods {
				t.Run(fmt.Sprintf("%d/%v/%s", declared, b0, m.name), func(t *testing.T) {
					bothRoles(t, func(t *testing.T, client bool) {
						synctest.Test(t, func(t *testing.T) {
							c, p := newWirePeer(t, walve.TestConfig{Client: client, MaxMessageSize: math.MaxInt64})
							p.write(append(longHeader(p.client, b0, declared), "payload"...))
							p.CloseWrite()
							var before, after runtime.MemStats
							runtime.ReadMemStats(&before)
							_, err := m.read(c)
							runtime.ReadMemStats(&after)
							if !errors.Is(err, io.ErrUnexpectedEOF) {
								t.Error(err)
							}
							if n := after.TotalAlloc - before.TotalAlloc; n > most {
								t.Errorf("%d bytes allocated", n)
							}
							p.Close()
							c.Close()
						})
					})
				})
			}
		}
	}
}

// TestAllocsReadMessageByWhatComes: what ReadMessage holds grows with what has
// come, not with what is declared.
func TestAllocsReadMessageByWhatComes(t *testing.T) {
	const come = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		c, p := newWirePeer(t, walve.TestConfig{MaxMessageSize: math.MaxInt64})
		go func() {
			p.write(longHeader(p.client, fin|bin, math.MaxInt64))
			p.write(make([]byte, come))
			p.CloseWrite()
		}()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := c.ReadMessage()
		runtime.ReadMemStats(&after)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 10*come {
			t.Errorf("%d bytes allocated for %d", n, come)
		}
		p.Close()
		c.Close()
	})
}
