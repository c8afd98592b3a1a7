package h2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

var past = time.Unix(1, 0)

// TestCut ends the connection behind every byte of a DATA frame: what has come
// can be read, and the end is none.
func TestCut(t *testing.T) {
	data := []byte("data")
	var wire bytes.Buffer
	http2.NewFramer(&wire, nil).WriteDataPadded(1, true, data, make([]byte, 3))
	frame := wire.Bytes()
	const before = 9 + 1 // the header, and the length of the padding
	for cut := range len(frame) {
		bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
			_, st := s.open(c)
			s.c.Write(frame[:cut])
			s.c.CloseWrite()
			got, err := io.ReadAll(st)
			if !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != string(data[:min(max(cut-before, 0), len(data))]) {
				t.Errorf("cut at %d: %q, %v", cut, got, err)
			}
		})
	}
}

// TestAbortInsideData has Abort come between the bytes of a DATA frame with
// END_STREAM.
func TestAbortInsideData(t *testing.T) {
	var wire bytes.Buffer
	http2.NewFramer(&wire, nil).WriteData(1, true, []byte("data"))
	frame := wire.Bytes()
	for cut := range len(frame) {
		bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
			_, st := s.open(c)
			s.c.Write(frame[:cut])
			synctest.Wait()
			st.Abort()
			s.c.Write(frame[cut:])
			if code := s.reset(); code != http2.ErrCodeCancel {
				t.Error(code)
			}
			s.open(c) // the connection goes on
			c.mu.Lock()
			defer c.mu.Unlock()
			if !st.recv.empty() || len(c.streams) != 1 {
				t.Errorf("cut at %d: something is left", cut)
			}
		})
	}
}

// TestFailInsideData has the connection fail between the bytes of a DATA frame
// with END_STREAM: what comes then is neither data nor an end.
func TestFailInsideData(t *testing.T) {
	var wire bytes.Buffer
	http2.NewFramer(&wire, nil).WriteData(1, true, []byte("data"))
	frame := wire.Bytes()
	const cut = 9 + 2
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		_, st := s.open(c)
		s.c.Write(frame[:cut])
		c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(0) // the writer does not close it yet
		st.Write([]byte("x"))
		synctest.Wait()
		c.mu.Lock()
		c.endLocked(timeoutError{errNoAnswer})
		c.mu.Unlock()
		s.c.Write(frame[cut:])
		synctest.Wait()
		if got, err := io.ReadAll(st); string(got) != "da" || !errors.Is(err, timeoutError{errNoAnswer}) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestEndedStream: what the methods of a Stream say once it is closed, or reset
// by the server.
func TestEndedStream(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		if n, err := st.Read(nil); n != 0 || err != nil {
			t.Errorf("Read of nothing: %d, %v", n, err)
		}
		s.fr.WriteRSTStream(id, http2.ErrCodeCancel)
		synctest.Wait()
		if err := st.CloseWrite(); !isReset(err) {
			t.Errorf("CloseWrite after RST_STREAM: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("Close after RST_STREAM: %v", err)
		}
		if err := st.CloseWrite(); !isClosed(err) {
			t.Errorf("CloseWrite after Close: %v", err)
		}
		if err := st.SetReadDeadline(past); !isClosed(err) {
			t.Errorf("SetReadDeadline after Close: %v", err)
		}
		if err := st.SetWriteDeadline(past); !isClosed(err) {
			t.Errorf("SetWriteDeadline after Close: %v", err)
		}
		if err := st.Flush(); err != nil { // nothing is queued
			t.Errorf("Flush after Close: %v", err)
		}
	})
}

// TestFlushEnds: what ends a Flush that waits.
func TestFlushEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(s *rawServer, st *Stream)
		is   func(error) bool
	}{
		{"deadline", func(_ *rawServer, st *Stream) { st.SetWriteDeadline(past) }, isTimeout},
		{"Close", func(_ *rawServer, st *Stream) { st.Close() }, isClosed},
		{"RST_STREAM", func(s *rawServer, st *Stream) { s.fr.WriteRSTStream(st.id, http2.ErrCodeCancel) }, isReset},
		{"the server reads", func(_ *rawServer, st *Stream) {
			st.c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(-1)
		}, func(err error) bool { return err == nil }},
	} {
		bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
			_, st := s.open(c)
			c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(0)
			st.Write([]byte("x"))
			flushed := make(chan error, 1)
			go func() { flushed <- st.Flush() }()
			synctest.Wait()
			if len(flushed) > 0 {
				t.Fatalf("%s: Flush returned too early", test.name)
			}
			test.do(s, st)
			if err := <-flushed; !test.is(err) {
				t.Errorf("%s: %v", test.name, err)
			}
		})
	}
}

// TestReservedOnDeadConn: a place on a connection that has ended since is one
// to try elsewhere.
func TestReservedOnDeadConn(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		if !c.reserve() {
			t.Fatal("no place")
		}
		c.fail(net.ErrClosed)
		if _, _, err := c.openReserved(t.Context(), request); err != errUnused {
			t.Error(err)
		}
		if c.open != 0 {
			t.Errorf("%d places are taken", c.open)
		}
		c.keepAlive() // its timer may have run out in the same moment
		if c.ping.Stop() || c.idle.Stop() {
			t.Error("a timer runs on")
		}
	})
}

// TestFlushEnded: Flush of a Stream that has ended both ways ends with the
// connection.
func TestFlushEnded(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *rawServer, c *Conn) {
		id, st := s.open(c)
		s.fr.WriteData(id, true, nil)
		synctest.Wait()
		c.nc.(interface{ SetWriteLimit(int64) }).SetWriteLimit(0)
		st.Write([]byte("x"))
		st.CloseWrite()
		done := make(chan error, 1)
		go func() { done <- st.Flush() }()
		synctest.Wait()
		s.c.Close()
		c.fail(net.ErrClosed)
		time.Sleep(time.Hour)
		select {
		case err := <-done:
			t.Log(err)
			if err == nil {
				t.Error("Flush says that what was lost is sent")
			}
		default:
			t.Error("Flush hangs behind the end of the connection")
			st.Close()
		}
	})
}
