//! Where kernel structures keep what the kernel side reads: filled in by the daemon from the kernel's BTF.

/// Defines [`Offsets`] with, for each field, the structure and the member paths (first that exists) it stands for.
macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $structure:literal $($path:literal)|+;)*) => {
        /// Byte offsets within kernel structures; [`NONE`] where this kernel has no such member.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub struct Offsets {
            $($(#[$doc])* #[doc = concat!("`", $structure, "`.")] pub $name: u32,)*
        }

        impl Offsets {
            /// Every offset unknown.
            pub const UNKNOWN: Self = Self { $($name: NONE,)* };

            /// Each field's name, structure and member paths, in order of the fields.
            pub const MEMBERS: &'static [(&'static str, &'static str, &'static [&'static str])] =
                &[$((stringify!($name), $structure, &[$($path),+]),)*];
        }
    };
}

/// An offset that is not known.
pub const NONE: u32 = u32::MAX;

offsets! {
    task_files: "task_struct" "files";
    task_mm: "task_struct" "mm";
    task_pid: "task_struct" "pid";
    task_tgid: "task_struct" "tgid";
    task_group_leader: "task_struct" "group_leader";
    task_real_parent: "task_struct" "real_parent";
    task_start: "task_struct" "start_boottime" | "real_start_time";
    task_fs: "task_struct" "fs";
    fs_dentry: "fs_struct" "pwd.dentry";
    fs_mount: "fs_struct" "pwd.mnt";
    task_signal: "task_struct" "signal";
    signal_live: "signal_struct" "live";
    files_fdt: "files_struct" "fdt";
    fdt_fd: "fdtable" "fd";
    file_inode: "file" "f_inode";
    file_mode: "file" "f_mode";
    file_operations: "file" "f_op";
    file_private: "file" "private_data";
    file_dentry: "file" "f_path.dentry";
    file_mount: "file" "f_path.mnt";
    inode_mode: "inode" "i_mode";
    inode_number: "inode" "i_ino";
    inode_rdev: "inode" "i_rdev";
    inode_super: "inode" "i_sb";
    inode_size: "inode" "i_size";
    inode_ctime: "inode" "i_ctime_sec" | "__i_ctime.tv_sec" | "i_ctime.tv_sec";
    super_device: "super_block" "s_dev";
    dentry_parent: "dentry" "d_parent";
    dentry_name: "dentry" "d_name.name" | "__d_name.name";
    mount_vfsmount: "mount" "mnt";
    mount_parent: "mount" "mnt_parent";
    mount_point: "mount" "mnt_mountpoint";
    vfsmount_root: "vfsmount" "mnt_root";
    socket_sock: "socket" "sk";
    socket_operations: "socket" "ops";
    socket_inode: "socket_alloc" "vfs_inode";
    sock_family: "sock" "__sk_common.skc_family";
    /// Destination, then source: eight bytes.
    sock_ipv4: "sock" "__sk_common.skc_daddr";
    /// Destination port (network order).
    sock_ports: "sock" "__sk_common.skc_dport";
    sock_ipv6_destination: "sock" "__sk_common.skc_v6_daddr";
    sock_ipv6_source: "sock" "__sk_common.skc_v6_rcv_saddr";
    sock_net: "sock" "__sk_common.skc_net.net";
    sock_socket: "sock" "sk_socket";
    sock_type: "sock" "sk_type";
    sock_protocol: "sock" "sk_protocol";
    /// Local port (network order), which a socket keeps when it is closed.
    inet_port: "inet_sock" "inet_sport";
    net_inode: "net" "ns.inum";
    unix_peer: "unix_sock" "peer";
    unix_address: "unix_sock" "addr";
    tcp_write_seq: "tcp_sock" "write_seq";
    tcp_copied_seq: "tcp_sock" "copied_seq";
    tty_of_file: "tty_file_private" "tty";
    tty_link: "tty_struct" "link";
    mm_exe: "mm_struct" "exe_file";
    mm_arg_start: "mm_struct" "arg_start";
    mm_arg_end: "mm_struct" "arg_end";
    cgroup_node: "cgroup" "kn";
    cgroup_root: "cgroup" "root";
    root_hierarchy: "cgroup_root" "hierarchy_id";
    node_id: "kernfs_node" "id";
    request_file: "io_kiocb" "file";
    request_opcode: "io_kiocb" "opcode";
}
