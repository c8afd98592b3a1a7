package stream

import (
	"net"
	"sync"
)

// A Buffer is what input is read into before it is known how much there is.
// Buffers are pooled: one is held only while there are bytes in it.
type Buffer [4096]byte

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// GetBuffer takes a Buffer, with any content, out of the pool.
func GetBuffer() *Buffer { return buffers.Get().(*Buffer) }

// PutBuffer gives b back. The caller must not touch it afterwards.
func PutBuffer(b *Buffer) { buffers.Put(b) }

// A Large is a Buffer for more: what comes in when there is much, and what
// frames are put together in.
type Large [64 << 10]byte

var larges = sync.Pool{New: func() any { return new(Large) }}

// GetLarge takes a Large, with any content, out of the pool.
func GetLarge() *Large { return larges.Get().(*Large) }

// PutLarge gives b back. The caller must not touch it afterwards.
func PutLarge(b *Large) { larges.Put(b) }

// A BuffersWriter is a Stream that sends several slices in one system call
// (writev). It counts and times out like Write; bufs is consumed as far as it
// was sent. TCP and unix sockets are BuffersWriters.
type BuffersWriter interface {
	WriteBuffers(bufs *net.Buffers) (int64, error)
}

// A BufferReader is a Stream of another package that can wait for input
// without a buffer; its ReadBuffer does what the function of that name says.
type BufferReader interface {
	ReadBuffer() (b *Buffer, n int, err error)
}

// bufferReader is a Stream that can wait for input without a buffer.
type bufferReader interface {
	readBuffer() (*Buffer, int, error)
}

// largeReader is a Stream that can wait for input without a Large.
type largeReader interface {
	readLarge() (*Large, int, error)
}

// ReadBuffer waits for input and returns it in a Buffer of which the first n
// bytes are filled; the caller gives it back by PutBuffer. It counts as a Read
// of s, with the same errors and deadlines. The Buffer is nil when n is 0.
//
// Over TCP and unix sockets on unix systems no Buffer is held while it waits,
// so that an idle connection costs none.
func ReadBuffer(s Stream) (b *Buffer, n int, err error) {
	if r, ok := s.(bufferReader); ok {
		return r.readBuffer()
	}
	if r, ok := s.(BufferReader); ok {
		return r.ReadBuffer()
	}
	b = GetBuffer()
	n, err = s.Read(b[:])
	if n == 0 {
		PutBuffer(b)
		return nil, 0, err
	}
	return b, n, err
}

// ReadLarge is ReadBuffer into a Large.
func ReadLarge(s Stream) (b *Large, n int, err error) {
	if r, ok := s.(largeReader); ok {
		return r.readLarge()
	}
	b = GetLarge()
	n, err = s.Read(b[:])
	if n == 0 {
		PutLarge(b)
		return nil, 0, err
	}
	return b, n, err
}
