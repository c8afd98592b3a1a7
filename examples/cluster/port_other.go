//go:build !(linux || darwin || freebsd)

package main

import (
	"errors"
	"io"
	"net"
)

var errReusePort = errors.New("this system has no SO_REUSEPORT")

func listen(string) (net.Listener, error) { return nil, errReusePort }

func holdPort(string) (io.Closer, string, error) { return nil, "", errReusePort }
