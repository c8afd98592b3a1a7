//go:build !unix

package stream

import "net"

// waiter holds a Buffer while it waits: a socket of this system cannot be
// waited for without one.
type waiter struct{}

func (waiter) wait(c net.Conn) (*Buffer, int, error) {
	b := GetBuffer()
	n, err := c.Read(b[:])
	if n == 0 {
		PutBuffer(b)
		return nil, 0, err
	}
	return b, n, err
}

func (waiter) waitLarge(c net.Conn) (*Large, int, error) {
	b := GetLarge()
	n, err := c.Read(b[:])
	if n == 0 {
		PutLarge(b)
		return nil, 0, err
	}
	return b, n, err
}
