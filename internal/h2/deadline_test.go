package h2

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/bodokaiser/walve/internal/stream"
)

func payload(n int) []byte { return payloadAt(0, n) }

// TestReadDeadline cuts a DATA frame at every byte on the wire: the Read times
// out, and what comes later is complete.
func TestReadDeadline(t *testing.T) {
	want := payload(40)
	for _, pad := range []int{0, 5} {
		var wire bytes.Buffer
		fr := http2.NewFramer(&wire, nil)
		fr.WriteData(1, false, want[:30])
		if pad > 0 {
			fr.WriteDataPadded(1, false, want[30:], make([]byte, pad))
		} else {
			fr.WriteData(1, false, want[30:])
		}
		frames := wire.Bytes()
		bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
			for cut := range len(frames) {
				id, st := s.open(c)
				part := bytes.Clone(frames)
				part[8] = byte(id) // below 256
				part[9+30+8] = byte(id)
				s.c.Write(part[:cut])
				var got []byte
				buf := make([]byte, 64)
				for {
					st.SetReadDeadline(time.Now().Add(time.Second))
					n, err := st.Read(buf)
					got = append(got, buf[:n]...)
					if isTimeout(err) {
						break
					}
					if err != nil {
						t.Fatalf("cut at %d: %v", cut, err)
					}
				}
				s.c.Write(part[cut:])
				for len(got) < len(want) {
					// The deadline has passed: it stays so until it is set anew.
					if n, err := st.Read(buf); n != 0 || !isTimeout(err) {
						t.Fatal(n, err)
					}
					st.SetReadDeadline(time.Time{})
					b, n, err := stream.ReadBuffer(st)
					if err != nil {
						t.Fatalf("cut at %d: %v", cut, err)
					}
					got = append(got, b[:n]...)
					stream.PutBuffer(b)
					st.SetReadDeadline(time.Unix(1, 0))
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("cut at %d: %x", cut, got)
				}
				st.Abort()
				if s.reset() != http2.ErrCodeCancel {
					t.Fatal("no RST_STREAM")
				}
			}
		})
	}
}

// TestWriteDeadline has the window end at every byte: n is what the server
// gets, and going on with the rest gives it every byte once.
func TestWriteDeadline(t *testing.T) {
	want := payload(40)
	for cut := range uint32(len(want)) {
		for _, ofConn := range []bool{false, true} {
			settings := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: cut}}
			if ofConn {
				settings[0].Val = 1 << 20
			}
			bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
				id, st := s.open(c)
				got := make(chan []byte)
				go func() {
					var b []byte
					for f := s.next(); f != nil; f = s.next() {
						if d, ok := f.(*http2.DataFrame); ok {
							b = append(b, d.Data()...)
							if d.StreamEnded() {
								break
							}
						}
					}
					got <- b
				}()
				skip := 0
				if ofConn {
					skip = minWindow - int(cut)
					if n, err := st.Write(make([]byte, skip)); n != skip || err != nil {
						t.Fatal(n, err)
					}
				}
				begun := time.Now()
				st.SetWriteDeadline(begun.Add(time.Second))
				n, err := st.Write(want)
				if n != int(cut) || !isTimeout(err) || time.Since(begun) != time.Second {
					t.Fatalf("cut at %d: %d, %v after %v", cut, n, err, time.Since(begun))
				}
				if n, err := st.Write(want[n:]); n != 0 || !isTimeout(err) {
					t.Fatal(n, err)
				}
				st.SetWriteDeadline(time.Time{})
				go func() {
					synctest.Wait()
					if ofConn {
						s.fr.WriteWindowUpdate(0, 100)
					} else {
						s.fr.WriteWindowUpdate(id, 100)
					}
				}()
				if m, err := st.Write(want[n:]); n+m != len(want) || err != nil {
					t.Fatalf("cut at %d: %d, %v", cut, m, err)
				}
				st.CloseWrite()
				if b := <-got; !bytes.Equal(b[skip:], want) {
					t.Fatalf("cut at %d: %x", cut, b[skip:])
				}
			}, settings...)
		}
	}
}

// TestWriteQueue: what the connection has taken counts as written, and the
// deadline does not take it back.
func TestWriteQueue(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		_, st := s.open(c)
		s.fr.WriteWindowUpdate(0, 1<<30)
		synctest.Wait()
		c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(5) // inside a frame's header
		want := payload(1 << 20)
		st.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := st.Write(want)
		if n == 0 || n > 3*maxQueued || !isTimeout(err) {
			t.Fatal(n, err)
		}
		// Others time out as well, without a byte.
		c.mu.Lock()
		waiting := !c.waiting.empty()
		c.mu.Unlock()
		if waiting {
			t.Error("the stream waits on")
		}
		c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(-1)
		var got []byte
		for len(got) < n {
			got = append(got, s.next().(*http2.DataFrame).Data()...)
		}
		if !bytes.Equal(got, want[:n]) {
			t.Error("the server got something else")
		}
	}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
}

// TestInterrupt: a deadline in the past, Close and Abort interrupt what waits.
func TestInterrupt(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(s *Stream)
		is   func(error) bool
	}{
		{"deadline", func(s *Stream) { s.SetReadDeadline(time.Unix(1, 0)); s.SetWriteDeadline(time.Unix(1, 0)) }, isTimeout},
		{"Close", func(s *Stream) { s.Close() }, isClosed},
		{"Abort", func(s *Stream) { s.Abort() }, isClosed},
		{"connection", func(s *Stream) { s.c.fail(&StreamError{}) }, isReset},
	} {
		bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
			_, st := s.open(c)
			errs := make(chan error, 2)
			go func() { _, err := st.Read(make([]byte, 1)); errs <- err }()
			go func() { _, err := st.Write([]byte("x")); errs <- err }()
			synctest.Wait()
			test.do(st)
			for range 2 {
				if err := <-errs; !test.is(err) {
					t.Errorf("%s: %v", test.name, err)
				}
			}
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	}
}
