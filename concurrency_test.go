package walve_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

const workers = 8

// everyPair runs f for both directions of a memconn that reads random parts,
// and of sockets.
func everyPair(t *testing.T, f func(t *testing.T, from, to *walve.Conn)) {
	checkLeaks(t)
	for name, make := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"mem": func(testing.TB) (net.Conn, net.Conn) {
			a, b := memconn.Pipe()
			a.SetReadSeed(1)
			b.SetReadSeed(2)
			return a, b
		},
		"tcp": tcpSockets,
	} {
		for _, clientWrites := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s client writes %v", name, clientWrites), func(t *testing.T) {
				from, to := pairOver(t, make, true)
				if !clientWrites {
					from, to = to, from
				}
				f(t, from, to)
				for _, c := range []*walve.Conn{from, to} {
					if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
	}
}

// parallel runs f workers times at once and joins the errors.
func parallel(f func(worker int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for i := range errs {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// newMessage returns a message that says whose it is and shows damage.
func newMessage(worker, seq, size int) []byte {
	p := make([]byte, 12+size)
	binary.BigEndian.PutUint32(p[4:], uint32(worker))
	binary.BigEndian.PutUint32(p[8:], uint32(seq))
	for i := range p[12:] {
		p[12+i] = byte(worker*31 + seq + i)
	}
	binary.BigEndian.PutUint32(p, crc32.ChecksumIEEE(p[4:]))
	return p
}

var sizes = []int{0, 1, 100, 200, 4000, 5000, 70_000, 140_000}

const perWorker = 24

// TestRule7ConcurrentWritesDoNotInterleave has writers of every kind write at
// once and readers read messages at once: each message comes whole, once, and in
// its writer's order.
func TestRule7ConcurrentWritesDoNotInterleave(t *testing.T) {
	everyPair(t, func(t *testing.T, from, to *walve.Conn) {
		write := func(worker int, p []byte) (err error) {
			switch worker % 4 {
			case 0:
				_, err = from.Write(p)
			case 1:
				err = from.WriteMessage(bin, p)
			default:
				length := int64(-1)
				if worker%4 == 2 {
					length = int64(len(p))
				}
				var w io.WriteCloser
				if w, err = from.NextWriter(walve.Header{Fin: true, Opcode: bin, Length: length}); err != nil {
					return err
				}
				for len(p) > 0 && err == nil {
					n := min(len(p), 1+len(p)/3)
					_, err = w.Write(p[:n])
					p = p[n:]
				}
				err = errors.Join(err, w.Close())
			}
			return err
		}
		wait := background(func() error {
			err := parallel(func(worker int) error {
				for seq := range perWorker {
					if err := write(worker, newMessage(worker, seq, sizes[(seq+worker)%len(sizes)])); err != nil {
						return err
					}
				}
				return nil
			})
			return errors.Join(err, from.CloseWrite())
		})
		var mu sync.Mutex
		var got [workers][perWorker]int
		err := parallel(func(int) error {
			last := [workers]int{}
			for {
				_, p, err := to.ReadMessage()
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				if len(p) < 12 || crc32.ChecksumIEEE(p[4:]) != binary.BigEndian.Uint32(p) {
					return fmt.Errorf("damaged message of %d bytes", len(p))
				}
				worker, seq := binary.BigEndian.Uint32(p[4:]), int(binary.BigEndian.Uint32(p[8:]))
				if seq < last[worker] {
					return fmt.Errorf("message %d of %d behind %d", seq, worker, last[worker])
				}
				last[worker] = seq
				mu.Lock()
				got[worker][seq]++
				mu.Unlock()
			}
		})
		if err := errors.Join(err, wait()); err != nil {
			t.Fatal(err)
		}
		for worker := range got {
			for seq, n := range got[worker] {
				if n != 1 {
					t.Errorf("message %d of writer %d came %d times", seq, worker, n)
				}
			}
		}
	})
}

// TestRule7ConcurrentReadsLoseNothing has readers with buffers of every size
// read one stream: every byte comes once.
func TestRule7ConcurrentReadsLoseNothing(t *testing.T) {
	const total = 2 << 20
	everyPair(t, func(t *testing.T, from, to *walve.Conn) {
		data := make([]byte, total)
		rand.NewChaCha8([32]byte{7}).Read(data)
		wait := background(func() error {
			for p, i := data, 0; len(p) > 0; i++ {
				n := min(len(p), 1+sizes[i%len(sizes)])
				if _, err := from.Write(p[:n]); err != nil {
					return err
				}
				p = p[n:]
			}
			return from.CloseWrite()
		})
		var mu sync.Mutex
		var got, want [256]int
		for _, b := range data {
			want[b]++
		}
		err := parallel(func(worker int) error {
			buf := make([]byte, []int{1, 7, 255, 256, 1000, 4096, 20_000, 70_000}[worker])
			for {
				n, err := to.Read(buf)
				mu.Lock()
				for _, b := range buf[:n] {
					got[b]++
				}
				mu.Unlock()
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
			}
		})
		if err := errors.Join(err, wait()); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Error("bytes were lost, duplicated or damaged")
		}
	})
}

// TestRule7EverythingAtOnce calls every method from many goroutines on both
// ends, with deadlines that pass, and closes in the midst. What comes of it is
// up to chance, but everything returns, with an error of the right type.
func TestRule7EverythingAtOnce(t *testing.T) {
	everyPair(t, func(t *testing.T, from, to *walve.Conn) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var running sync.WaitGroup
		for _, c := range []*walve.Conn{from, to} {
			p := []byte(filler(70_000))
			buf := make([][]byte, 2)
			for i := range buf {
				buf[i] = make([]byte, 1+5000*i)
			}
			header := walve.Header{Fin: true, Opcode: bin, Length: -1}
			read := func(r io.Reader, err error) error {
				if err == nil {
					_, err = io.CopyN(io.Discard, r, 1000)
				}
				return err
			}
			for _, call := range []func() error{
				func() error { _, err := c.Read(buf[0]); return err },
				func() error { _, err := c.Read(buf[1]); return err },
				func() error { _, r, err := c.NextReader(); return read(r, err) },
				func() error { _, r, err := c.NextMessage(); return read(r, err) },
				func() error { _, _, err := c.ReadMessage(); return err },
				func() error { _, err := c.Write(p); return err },
				func() error { _, err := c.Write(p[:10]); return err },
				func() error { return c.WriteMessage(bin, p[:1000]) },
				func() error { _, err := c.ReadFrom(strings.NewReader("from a reader")); return err },
				func() error {
					w, err := c.NextWriter(header)
					if err != nil {
						return err
					}
					_, err = w.Write(p[:100])
					for range 3 {
						if cerr := w.Close(); cerr == nil || !errors.Is(cerr, os.ErrDeadlineExceeded) {
							break
						}
					}
					return err
				},
				func() error { return c.Ping(ctx) },
				func() error { return c.SetReadDeadline(time.Now().Add(time.Millisecond)) },
				func() error { return c.SetWriteDeadline(time.Now().Add(time.Millisecond)) },
				func() error { return c.SetDeadline(time.Time{}) },
				func() error {
					c.CloseStatus()
					c.LocalAddr()
					c.RemoteAddr()
					c.Subprotocol()
					c.NetConn()
					return nil
				},
			} {
				running.Go(func() {
					for range 200 {
						err := call()
						if _, ok := err.(*net.OpError); !ok && err != nil && err != io.EOF {
							t.Errorf("got %T %v", err, err)
						}
						if errors.Is(err, net.ErrClosed) {
							return
						}
					}
				})
			}
		}
		time.AfterFunc(100*time.Millisecond, func() { // any moment will do
			from.CloseWithStatus(1001, "enough")
			to.Close()
		})
		running.Wait()
	})
}

// TestRule7MisuseDoesNotPanic does what the documentation forbids.
func TestRule7MisuseDoesNotPanic(t *testing.T) {
	everyConfig(t, func(t *testing.T, cfg walve.TestConfig) {
		c, own, peer := memConn(cfg)
		refused := func(what string, err error) {
			t.Helper()
			if _, ok := err.(*net.OpError); !ok {
				t.Errorf("%s: got %v", what, err)
			}
		}
		for _, h := range []walve.Header{
			{Fin: true, Opcode: walve.OpClose}, {Fin: true, Opcode: ping}, {Fin: true, Opcode: pong}, {Fin: true, Opcode: 3}, {Fin: true, Opcode: 255},
			{Fin: true, Opcode: cont}, {Fin: true, Opcode: bin, RSV1: true}, {Opcode: bin, RSV2: true}, {Opcode: bin, RSV3: true},
		} {
			_, err := c.NextWriter(h)
			refused(fmt.Sprintf("NextWriter(%+v)", h), err)
		}
		for _, op := range []walve.Opcode{cont, walve.OpClose, ping, pong, 3, 255} {
			refused(fmt.Sprintf("WriteMessage(%v)", op), c.WriteMessage(op, nil))
		}
		if n := own.Written(); n != 0 {
			t.Fatalf("%d bytes on the wire", n)
		}

		w, err := c.NextWriter(walve.Header{Fin: true, Opcode: bin, Length: 2})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := w.Write([]byte("abc")); n != 2 || !errors.Is(err, walve.ErrWriteTooLong) {
			t.Errorf("Write of too much: got %d, %v", n, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		refused("writer's second Close", w.Close())
		_, err = w.Write([]byte("x"))
		refused("writer's Write after Close", err)

		peer.Write(exchange(!cfg.Client, false).wire)
		_, left, err := c.NextReader()
		if err != nil {
			t.Fatal(err)
		}
		_, message, err := c.NextMessage()
		if err != nil {
			t.Fatal(err)
		}
		_, err = left.Read(make([]byte, 1))
		refused("reader left behind", err)
		if n, err := message.Read(nil); n != 0 || err != nil {
			t.Errorf("Read(nil) of a message: got %d, %v", n, err)
		}
		errs := make(chan error, 2)
		for range 2 { // one reader, two goroutines
			go func() { _, err := io.ReadAll(message); errs <- err }()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Errorf("two goroutines on one reader: %v", err)
		}
		checkFrames(t, "data", decode(t, take(t, own, peer), cfg.Client)[:1], scriptFrame{bin, true, "ab"})
		closeBoth(t, c, peer)
		_, err = message.Read(make([]byte, 1))
		refused("reader after Close", err)
		_, err = left.Read(nil)
		refused("reader left behind, after Close", err)
		checkOpError(t, "Close", c.Close(), net.ErrClosed)
	})
}
