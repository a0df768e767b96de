import HGNetCore
