//go:build linux || darwin || freebsd

package main

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort lets several sockets have the same address. On Linux the system
// spreads new connections over them.
var reusePort = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = setReusePort(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}}

func setReusePort(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

func listen(addr string) (net.Listener, error) {
	return reusePort.Listen(context.Background(), "tcp", addr)
}

// holdPort takes the address, of which a port of 0 is chosen, without listening
// on it: it stays taken while workers come and go.
func holdPort(addr string) (held io.Closer, bound string, err error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, "", err
	}
	domain := unix.AF_INET6
	var sa unix.Sockaddr
	if ip := a.IP.To4(); ip != nil {
		domain, sa = unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
	} else {
		sa6 := &unix.SockaddrInet6{Port: a.Port}
		copy(sa6.Addr[:], a.IP)
		sa = sa6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, "", os.NewSyscallError("socket", err)
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "port")
	if err := setReusePort(fd); err != nil {
		f.Close()
		return nil, "", err
	}
	if err := unix.Bind(fd, sa); err != nil {
		f.Close()
		return nil, "", os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		f.Close()
		return nil, "", os.NewSyscallError("getsockname", err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		a.Port = name.Port
	case *unix.SockaddrInet6:
		a.Port = name.Port
	}
	return f, a.String(), nil
}
