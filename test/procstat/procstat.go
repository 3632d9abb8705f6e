// Package procstat reads what a group of processes costs, from /proc (Linux).
package procstat

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of utime and stime; the kernel's USER_HZ is 100 on every Linux that Go runs on.
const tick = time.Second / 100

// Usage is the sum over a group.
type Usage struct {
	Processes int
	CPU       time.Duration // user and system time so far
	RSS       int64         // resident bytes, shared pages counted once for each process
	PSS       int64         // resident bytes, shared pages divided among the processes that map them
}

// Group sums the processes whose process group is pgid. Memory is read only if memory is set: PSS is
// slow for large processes and disturbs what it measures.
func Group(pgid int, memory bool) (Usage, error) {
	var u Usage
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u, err
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		// The command name may hold spaces and parentheses, so fields are counted from its end.
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) < 22 || f[2] != strconv.Itoa(pgid) {
			continue
		}
		utime, _ := strconv.ParseInt(f[11], 10, 64)
		stime, _ := strconv.ParseInt(f[12], 10, 64)
		u.Processes++
		u.CPU += time.Duration(utime+stime) * tick
		if !memory {
			continue
		}
		rollup, err := os.ReadFile(filepath.Join(filepath.Dir(path), "smaps_rollup"))
		if err != nil {
			return u, err
		}
		u.RSS += kib(rollup, "Rss:")
		u.PSS += kib(rollup, "Pss:")
	}
	if u.Processes == 0 {
		return u, fmt.Errorf("no process in group %d", pgid)
	}
	return u, nil
}

func kib(b []byte, name string) int64 {
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// Machine describes the machine in a line: processor, cores, kernel, and the load average of the last minute.
func Machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s, %d cores, Linux %s, load average at the end %s", processor(), runtime.NumCPU(), strings.TrimSpace(string(kernel)), one)
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
