package stream_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve/internal/memconn"
	"github.com/bodokaiser/walve/internal/stream"
	"github.com/bodokaiser/walve/internal/streamtest"
)

const second = time.Second

// overhead is what a TLS 1.3 record with AES-GCM or ChaCha20 adds to its
// payload: header, content type and tag.
const overhead = 5 + 1 + 16

// positions are those of a cut in n bytes on the wire: all near the ends of
// records of at most record bytes, some elsewhere.
func positions(n, record int) (at []int) {
	for i := range n {
		if d := i % record; d < 30 || d > record-30 || i > n-30 || i%509 == 0 {
			at = append(at, i)
		}
	}
	return at
}

// A write deadline that comes after any number of bytes on the wire leaves n
// exact: going on with p[n:] gives the peer every byte once.
func TestWriteDeadlineCutsTLS(t *testing.T) {
	const record = 16<<10 + overhead
	const piece = 48 << 10 // what is handed to crypto/tls at once
	for _, row := range rows {
		for name, length := range map[string]int{"short": 300, "record": 16 << 10, "long": 50_000} {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, peer, a, _ := secureMem(t, row.over, memconn.Buffer(1<<20))
					want, got := pattern(length), make([]byte, length)
					wire := length + (length+16383)/(16<<10)*overhead
					at := positions(wire, record)
					if length < 1000 {
						at = positions(wire, 1)
					}
					for _, cut := range at {
						a.SetWriteLimit(int64(cut))
						s.SetWriteDeadline(time.Now().Add(second))
						n, err := s.Write(want)
						if row.name == "pump" {
							if n != length || err != nil { // there is room for it
								t.Fatalf("cut at %d: Write = %d, %v", cut, n, err)
							}
						} else if handed := min(length, (cut/(3*record)+1)*piece); n != handed {
							t.Fatalf("cut at %d: Write = %d, %v; want %d", cut, n, err, handed)
						} else if (err == nil) != (n == length) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Fatalf("cut at %d: Write = %d, %v", cut, n, err)
						}
						// While the rest is unsent, another deadline takes nothing.
						if row.name == "transport" {
							s.SetWriteDeadline(time.Now().Add(second))
							if k, err := s.Write(want[n:]); k != 0 || n < length && !errors.Is(err, os.ErrDeadlineExceeded) {
								t.Fatalf("cut at %d: second Write = %d, %v", cut, k, err)
							}
						}
						s.SetWriteDeadline(time.Time{})
						a.SetWriteLimit(-1)
						if k, err := s.Write(want[n:]); k != length-n || err != nil {
							t.Fatalf("cut at %d: Write of the rest = %d, %v", cut, k, err)
						}
						if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
							t.Fatalf("cut at %d: the peer read something else (%v)", cut, err)
						}
					}
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					if n, err := peer.Read(got); n != 0 || err != io.EOF {
						t.Errorf("peer at the end: %d, %v", n, err)
					}
					peer.Close()
				})
			})
		}
	}
}

// The same with Writes larger than all that can be taken, to a peer that reads
// slowly, with a deadline after every few bytes.
func TestWriteDeadlineOverAndOver(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer, _, b := secureMem(t, row.over, memconn.Buffer(3000))
				b.SetReadSeed(1)
				want := pattern(500_000)
				go func() {
					var err error
					var n, timeouts int
					for k := 0; n < len(want); n += k {
						s.SetWriteDeadline(time.Now().Add(7 * time.Millisecond))
						k, err = s.Write(want[n:])
						if errors.Is(err, os.ErrDeadlineExceeded) {
							timeouts++
						} else if err != nil {
							t.Errorf("Write: %v", err)
							break
						}
					}
					if timeouts < 10 {
						t.Errorf("%d timeouts only", timeouts)
					}
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}()
				var got []byte
				p := make([]byte, 5000)
				for {
					time.Sleep(3 * time.Millisecond) // of the bubble's time
					n, err := peer.Read(p)
					got = append(got, p[:n]...)
					if err == io.EOF {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(got, want) {
					t.Error("the peer read something else")
				}
				peer.Close()
			})
		})
	}
}

// A read deadline that comes after any number of bytes of a record loses none.
func TestReadDeadlineCutsTLS(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer, _, b := secureMem(t, row.over)
				defer peer.Close()
				defer s.Close()
				want, got := pattern(200), make([]byte, 200)
				for cut := range len(want) + overhead {
					b.SetWriteLimit(int64(cut))
					go peer.Write(want)
					s.SetReadDeadline(time.Now().Add(second))
					if n, err := s.Read(got); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("cut at %d: Read = %d, %v", cut, n, err)
					}
					s.SetReadDeadline(time.Time{})
					b.SetWriteLimit(-1)
					if n, err := s.Read(got); err != nil || !bytes.Equal(got[:n], want) {
						t.Fatalf("cut at %d: Read = %d, %v", cut, n, err)
					}
				}
			})
		})
	}
}

// A deadline in the past acts at once and interrupts a blocked Write.
func TestPastWriteDeadline(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer, a, _ := secureMem(t, row.over)
				want := pattern(200_000)
				past := time.Unix(1, 0)
				s.SetWriteDeadline(past)
				sent := a.Written()
				if n, err := s.Write(want); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("Write = %d, %v", n, err)
				}
				if a.Written() != sent {
					t.Error("something was sent")
				}
				s.SetWriteDeadline(time.Time{})
				start := time.Now()
				type result struct {
					n   int
					err error
				}
				done := make(chan result)
				go func() {
					n, err := s.Write(want)
					done <- result{n, err}
				}()
				synctest.Wait()
				s.SetWriteDeadline(past)
				r := <-done
				if !errors.Is(r.err, os.ErrDeadlineExceeded) || !time.Now().Equal(start) {
					t.Fatalf("Write = %d, %v after %v", r.n, r.err, time.Since(start))
				}
				s.SetWriteDeadline(time.Time{})
				go func() {
					s.Write(want[r.n:])
					s.Close()
				}()
				if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, want) {
					t.Errorf("the peer read something else (%d bytes, %v)", len(got), err)
				}
				peer.Close()
			})
		})
	}
}

// Close waits for what Write has taken, but for a dead peer 5 s only, and it
// interrupts Read and Write at once. No goroutine is left (synctest would say).
func TestCloseTLS(t *testing.T) {
	for _, row := range rows {
		for _, dead := range []bool{false, true} {
			name := row.name + "/slow"
			if dead {
				name = row.name + "/dead"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, peer, a, _ := secureMem(t, row.over)
					want := pattern(500_000)
					var n int
					released := make(chan error, 2)
					go func() {
						_, err := s.Read(make([]byte, 1))
						released <- err
					}()
					go func() {
						var err error
						n, err = s.Write(want)
						released <- err
					}()
					synctest.Wait()
					a.Stall()
					start := time.Now()
					closed := make(chan error)
					go func() { closed <- s.Close() }()
					for range 2 {
						if err := <-released; !errors.Is(err, net.ErrClosed) || !time.Now().Equal(start) {
							t.Errorf("%v after %v", err, time.Since(start))
						}
					}
					if err := s.Close(); !errors.Is(err, net.ErrClosed) {
						t.Errorf("second Close: %v", err)
					}
					if dead {
						if err := <-closed; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*second {
							t.Errorf("Close: %v after %v", err, time.Since(start))
						}
						a.Resume()
						if _, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) {
							t.Errorf("peer: %v", err)
						}
					} else {
						time.AfterFunc(second, a.Resume)
						got, err := io.ReadAll(peer)
						if err != nil || !bytes.Equal(got, want[:n]) {
							t.Errorf("the peer read %d of %d bytes, %v", len(got), n, err)
						}
						if err := <-closed; err != nil || time.Since(start) != second {
							t.Errorf("Close: %v after %v", err, time.Since(start))
						}
					}
					peer.Close()
				})
			})
		}
	}
}

// CloseWrite waits until its deadline; the end is sent all the same.
func TestCloseWriteDeadline(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer, a, _ := secureMem(t, row.over)
				a.SetWriteLimit(0)
				want := pattern(1000)
				s.SetWriteDeadline(time.Now().Add(second))
				if n, err := s.Write(want); n != 1000 || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
				s.SetWriteDeadline(time.Now().Add(second))
				start := time.Now()
				if err := s.CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != second {
					t.Errorf("CloseWrite: %v after %v", err, time.Since(start))
				}
				a.SetWriteLimit(-1)
				if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, want) {
					t.Errorf("the peer read something else (%v)", err)
				}
				s.SetWriteDeadline(time.Time{})
				if err := s.CloseWrite(); err != nil {
					t.Errorf("second CloseWrite: %v", err)
				}
				peer.Close()
				if _, err := io.ReadAll(s); err != nil {
					t.Errorf("Read: %v", err)
				}
				s.Close()
			})
		})
	}
}

// CloseWrite during a Write ends it at a record; what it took is sent.
func TestCloseWriteDuringWrite(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer, _, _ := secureMem(t, row.over)
				want := pattern(500_000)
				taken := make(chan int, 1)
				go func() {
					n, err := s.Write(want)
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Write = %d, %v", n, err)
					}
					taken <- n
				}()
				synctest.Wait()
				go s.CloseWrite()
				synctest.Wait()
				n := <-taken
				if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, want[:n]) {
					t.Errorf("the peer read %d of %d bytes, %v", len(got), n, err)
				}
				peer.Close()
				s.Close()
			})
		})
	}
}

// Abort acts at once where Close would wait, also during Close.
func TestAbortTLS(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer, a, _ := secureMem(t, row.over)
				a.SetWriteLimit(10)
				s.SetWriteDeadline(time.Now().Add(second))
				s.Write(pattern(1000))
				start := time.Now()
				closed := make(chan error)
				go func() { closed <- s.Close() }()
				synctest.Wait()
				s.Abort()
				<-closed
				if !time.Now().Equal(start) {
					t.Errorf("Close took %v", time.Since(start))
				}
				if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("peer: %v", err)
				}
				peer.Close()
			})
		})
	}
}

// An error of the goroutine that sends is what the next Write returns.
func TestWriteErrorStays(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer, a, b := secureMem(t, row.over)
				a.SetWriteLimit(10)
				s.SetWriteDeadline(time.Now().Add(second))
				if n, err := s.Write(pattern(1000)); n != 1000 || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
				b.Reset()
				synctest.Wait()
				for range 2 {
					n, err := s.Write([]byte("x"))
					if n != 0 || !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("Write = %d, %v", n, err)
					}
				}
				if err := s.CloseWrite(); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("CloseWrite: %v", err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				peer.Close()
			})
		})
	}
}

// A pump takes MaxQueued bytes at once, and no more than that.
func TestPumpBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer, a, _ := secureMem(t, plain)
		a.SetWriteLimit(0)
		s.SetWriteDeadline(time.Now().Add(second))
		if n, err := s.Write(pattern(1 << 20)); n != stream.MaxQueued || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v", n, err)
		}
		s.Abort()
		peer.Close()
	})
}

// Before New has a tls.Conn its Transport is as the conn below it; then the
// deadlines that were left on it are gone.
func TestTransportBeforeNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memconn.Pipe()
		tr := stream.NewTransport(a)
		a.SetWriteLimit(0)
		tr.SetWriteDeadline(time.Now().Add(second))
		if n, err := tr.Write([]byte("hello")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v", n, err)
		}
		tr.SetDeadline(time.Now().Add(second))
		server := tls.Server(tr, config(tls.VersionTLS13))
		if err := server.Handshake(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Handshake: %v", err)
		}
		a.Close()
		b.Close()
	})
	for _, row := range rows {
		synctest.Test(t, func(t *testing.T) {
			a, b := memconn.Pipe()
			c, peer := handshake(t, tls.VersionTLS13, row.over, a, b)
			c.SetWriteDeadline(time.Now().Add(second))
			s := stream.New(c)
			time.Sleep(2 * second) // of the bubble's time
			if n, err := s.Write([]byte("hello")); n != 5 || err != nil {
				t.Errorf("%s: Write = %d, %v", row.name, n, err)
			}
			s.Close()
			if got, err := io.ReadAll(peer); string(got) != "hello" || err != nil {
				t.Errorf("%s: the peer read %q, %v", row.name, got, err)
			}
			peer.Close()
		})
	}
}

// A deadline that is set while a cut record is on its way holds for the next.
func TestWriteDeadlineAfterCut(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, peer, a, _ := secureMem(t, row.over)
				a.SetWriteLimit(10)
				s.SetWriteDeadline(time.Now().Add(second))
				s.Write(pattern(100))
				time.Sleep(second)
				deadline := time.Now().Add(second)
				s.SetWriteDeadline(deadline)
				a.SetWriteLimit(1000)
				synctest.Wait()
				n, err := s.Write(pattern(100_000))
				if !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Equal(deadline) {
					t.Errorf("Write = %d, %v, %v after the deadline", n, err, time.Since(deadline))
				}
				s.Abort()
				peer.Close()
			})
		})
	}
}

// hookConn calls after, once, when a Write is done and has not returned.
type hookConn struct {
	*memconn.Conn
	after func()
}

func (c *hookConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if after := c.after; after != nil {
		c.after = nil
		after()
	}
	return n, err
}

// countConn counts its Writes.
type countConn struct {
	*memconn.Conn
	writes int
}

func (c *countConn) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// Records of one Write leave in one, 48 KiB at a time.
func TestRecordsLeaveTogether(t *testing.T) {
	a, b := memconn.Pipe(memconn.Buffer(1 << 20))
	count := &countConn{Conn: a}
	s, peer := secure(t, tls.VersionTLS13, transport, count, b)
	for _, tt := range []struct{ length, writes int }{
		{1, 1}, {16 << 10, 1}, {16<<10 + 1, 1}, {32<<10 + 4, 1}, {48 << 10, 1}, {48<<10 + 1, 2}, {200 << 10, 5},
	} {
		count.writes = 0
		want, got := pattern(tt.length), make([]byte, tt.length)
		if n, err := s.Write(want); n != tt.length || err != nil || count.writes != tt.writes {
			t.Errorf("Write of %d bytes: %d, %v in %d writes, not %d", tt.length, n, err, count.writes, tt.writes)
		}
		if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the peer read something else (%v)", err)
		}
	}
	s.Close()
	peer.Close()
}

// WriteRecords does the same for a tls.Conn that is not a Stream's.
func TestWriteRecords(t *testing.T) {
	a, b := memconn.Pipe(memconn.Buffer(1 << 20))
	count := &countConn{Conn: a}
	server, peer := handshake(t, tls.VersionTLS13, transport, count, b)
	for _, tt := range []struct{ length, writes int }{
		{1, 1}, {16 << 10, 1}, {32<<10 + 4, 1}, {48<<10 + 1, 2}, {200 << 10, 5},
	} {
		count.writes = 0
		want, got := pattern(tt.length), make([]byte, tt.length)
		if n, err := stream.WriteRecords(server, want); n != tt.length || err != nil || count.writes != tt.writes {
			t.Errorf("%d bytes: %d, %v in %d writes, not %d", tt.length, n, err, count.writes, tt.writes)
		}
		if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the peer read something else (%v)", err)
		}
	}
	plain, other := memconn.Pipe() // no TLS: a Write as any other
	if n, err := stream.WriteRecords(plain, pattern(50_000)); n != 50_000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	other.Close()
	a.SetWriteLimit(20_000)
	b.Reset()
	if n, err := stream.WriteRecords(server, pattern(40_000)); n != 0 || err == nil {
		t.Errorf("after a reset: %d, %v", n, err)
	}
	server.Close()
	peer.Close()
}

// A reset while records leave together: none of them counts, and no later Write
// goes on behind them.
func TestResetOfRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, peer, a, b := secureMem(t, transport)
		a.SetWriteLimit(20_000)
		time.AfterFunc(second, b.Reset)
		for range 2 {
			if n, err := s.Write(pattern(40_000)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("Write = %d, %v", n, err)
			}
		}
		s.Close()
		peer.Close()
	})
}

// CloseWrite between the last record of a Write and its return.
func TestCloseWriteBehindRecord(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe()
				hook := &hookConn{Conn: a}
				s, peer := secure(t, tls.VersionTLS13, row.over, hook, b)
				closed := make(chan error, 1)
				hook.after = func() {
					go func() { closed <- s.CloseWrite() }()
					synctest.Wait()
				}
				if n, err := s.Write([]byte("hello")); n != 5 || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
				if err := <-closed; err != nil {
					t.Errorf("CloseWrite: %v", err)
				}
				if got, err := io.ReadAll(peer); string(got) != "hello" || err != nil {
					t.Errorf("the peer read %q, %v", got, err)
				}
				s.Close()
				peer.Close()
			})
		})
	}
}

// CloseWrite and Close at any moment of a Write.
func TestCloseRacesWrite(t *testing.T) {
	for _, row := range rows {
		for i := range 60 {
			s, peer, _, _ := secureMem(t, row.over, memconn.Buffer(1<<20))
			end, want := s.CloseWrite, pattern(100_000)
			if i%2 == 0 {
				end = s.Close
			}
			taken := make(chan int, 1)
			go func() {
				n := 0
				for n < len(want) {
					k, err := s.Write(want[n:min(len(want), n+1+i*300)])
					n += k
					if err != nil && !errors.Is(err, net.ErrClosed) {
						t.Errorf("Write = %d, %v", n, err)
					}
					if err != nil {
						break
					}
				}
				taken <- n
			}()
			peer.Read(make([]byte, 1))
			if err := end(); err != nil {
				t.Error(err)
			}
			n := <-taken
			if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, want[min(n, 1):n]) {
				t.Errorf("the peer read 1+%d of %d bytes, %v", len(got), n, err)
			}
			s.Close()
			peer.Close()
		}
	}
}

// A tls.Conn over a Stream over a tls.Conn, as behind an https proxy.
func TestTLSOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, outerPeer, a, _ := secureMem(t, transport)
		s, peer := secure(t, tls.VersionTLS13, transport, &streamtest.Conn{Stream: outer}, outerPeer)
		want, got := pattern(3000), make([]byte, 3000)
		for cut := 0; cut < len(want); cut += 13 {
			a.SetWriteLimit(int64(cut))
			s.SetWriteDeadline(time.Now().Add(second))
			if n, err := s.Write(want); n != len(want) || err != nil {
				t.Fatalf("cut at %d: Write = %d, %v", cut, n, err)
			}
			a.SetWriteLimit(-1)
			if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("cut at %d: the peer read something else (%v)", cut, err)
			}
		}
		a.SetWriteLimit(0)
		s.Write(want)
		s.Abort()
		if _, err := peer.Read(got); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("peer: %v", err)
		}
		outerPeer.Close()
	})
}

// TestAlertBehindData: crypto/tls looks for an alert behind the data it returns,
// and a deadline that passes there is none of that Read.
func TestAlertBehindData(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := memconn.Pipe()
				s, peer := secure(t, tls.VersionTLS12, row.over, a, b) // where alerts are not encrypted
				b.Stall()
				peer.Write([]byte("abc"))
				b.SetWriteLimit(3) // inside the header of the alert
				closed := make(chan struct{})
				go func() {
					peer.CloseWrite()
					close(closed)
				}()
				synctest.Wait()
				b.Resume()
				s.SetReadDeadline(time.Now().Add(time.Second))
				buf := make([]byte, 10)
				if n, err := s.Read(buf); n != 3 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				if n, err := s.Read(buf); n != 0 || !stream.IsTimeout(err) {
					t.Errorf("%d, %v, want a timeout", n, err)
				}
				b.SetWriteLimit(-1)
				<-closed
				s.SetReadDeadline(time.Time{})
				if n, err := s.Read(buf); n != 0 || err != io.EOF {
					t.Errorf("%d, %v", n, err)
				}
				s.Abort()
				b.Close()
			})
		})
	}
}

// TestTransportDeadlines: write deadlines are the Stream's, read deadlines are
// everybody's.
func TestTransportDeadlines(t *testing.T) {
	a, b := memconn.Pipe()
	s, peer := secure(t, tls.VersionTLS13, transport, a, b)
	defer b.Close()
	defer s.Abort()
	stream.NetConn(s).SetDeadline(time.Unix(1, 0))
	if n, err := s.Read(make([]byte, 1)); n != 0 || !stream.IsTimeout(err) {
		t.Errorf("Read: %d, %v", n, err)
	}
	stream.NetConn(s).SetWriteDeadline(time.Unix(1, 0))
	if n, err := s.Write([]byte("abc")); n != 3 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if _, err := io.ReadFull(peer, make([]byte, 3)); err != nil {
		t.Error(err)
	}
}

// TestTransportQueueFull: what crypto/tls sends from inside Read, to a peer that
// asks for answers and takes none, is bounded, and the end of the Stream.
func TestTransportQueueFull(t *testing.T) {
	a, b := memconn.Pipe()
	s, _ := secure(t, tls.VersionTLS13, transport, a, b)
	defer b.Close()
	defer s.Abort()
	a.SetWriteLimit(0)
	below := stream.NetConn(s).(*tls.Conn).NetConn()
	for left := stream.MaxQueued; left > 0; {
		n, err := below.Write(make([]byte, min(left, 1000)))
		if err != nil {
			t.Fatal(err)
		}
		left -= n
	}
	if n, err := below.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("one too many: %d, %v", n, err)
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("Write succeeded")
	}
}
